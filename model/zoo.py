"""Models by name: the shipped network, timm's with a user's weights, or any module built by hand."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from slipstick.errors import UnknownName, UserError

from .data import ASSETS
from .vit import build_vit, normalise

SHIPPED = "vit-cifar10"


@dataclass(frozen=True)
class LoadedModel:
    """A float module, the size of its square input, and how uint8 pixels [N, H, W, 3] become its input."""

    name: str
    module: nn.Module
    size: int
    prepare: Callable[[np.ndarray], Tensor]

    def example(self) -> Tensor:
        """One input of the right shape."""
        return self.prepare(np.zeros((1, self.size, self.size, 3), np.uint8))


def _prepare(mean: tuple[float, ...], std: tuple[float, ...]) -> Callable[[np.ndarray], Tensor]:
    return lambda pixels: normalise(torch.from_numpy(np.ascontiguousarray(pixels)), mean, std)


def load_model(name: str = SHIPPED, checkpoint: Path | None = None) -> LoadedModel:
    """Build a model by name and load its weights.

    ``vit-cifar10`` is the shipped one. Any name of ``timm.create_model`` works with a safetensors
    ``checkpoint`` (random weights without one; nothing is downloaded). The number of classes follows
    the checkpoint. Raises UnknownName for an unknown name, UserError for a checkpoint that does not fit.
    """
    if name == SHIPPED:
        own = build_vit()
        _load(own, checkpoint or ASSETS / "vit_cifar10.safetensors")
        return LoadedModel(name, own.eval(), 32, lambda pixels: normalise(torch.from_numpy(pixels)))
    if name not in timm.list_models():
        known = timm.list_models()
        raise UnknownName("model", name, [SHIPPED, *difflib.get_close_matches(name, known, n=8, cutoff=0.4)])
    state = None if checkpoint is None else _read(checkpoint)
    module = timm.create_model(name, pretrained=False, num_classes=_classes(state))
    if checkpoint is not None:
        _load(module, checkpoint)
    config = timm.data.resolve_model_data_config(module)
    return LoadedModel(name, module.eval(), config["input_size"][-1], _prepare(config["mean"], config["std"]))


def wrap(module: nn.Module, size: int, mean: tuple[float, ...], std: tuple[float, ...]) -> LoadedModel:
    """Use any module: ``size`` of its square RGB input, and the normalisation it was trained with."""
    return LoadedModel(type(module).__name__, module.eval(), size, _prepare(mean, std))


def _classes(state: dict[str, Tensor] | None) -> int:
    for key in ("head.weight", "head.fc.weight", "classifier.weight", "fc.weight"):
        if state is not None and key in state:
            return state[key].shape[0]
    return 1000


def _read(checkpoint: Path) -> dict[str, Tensor]:
    try:
        return load_file(checkpoint)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{checkpoint}: not a readable safetensors file ({error}); pickles are refused") from error


def _load(module: nn.Module, checkpoint: Path) -> None:
    state, own = _read(checkpoint), module.state_dict()
    missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    shapes = [key for key in own.keys() & state.keys() if own[key].shape != state[key].shape]
    if missing or unknown or shapes:
        what = "; ".join(
            f"{title} {', '.join(keys[:3])}{' ...' if len(keys) > 3 else ''}"
            for title, keys in (("lacks", missing), ("has unknown", unknown), ("differs in shape at", sorted(shapes)))
            if keys
        )
        raise UserError(f"{checkpoint}: does not fit {type(module).__name__}: {what}")
    module.load_state_dict(state)
