"""Models by name: the shipped network, timm's with a user's weights, or any module built by hand."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from slipstick.errors import UnknownName, UserError

from .arguments import create, read_arguments
from .classes import Classes
from .conversion.batch import logits
from .conversion.state import evaluating
from .data import ASSETS, shipped_classes
from .hub import pretrained_file
from .structure import restore_structure_
from .training.state import read_facts
from .vit import build_vit, normalise

SHIPPED = "vit-cifar10"
PRETRAINED = "pretrained"  # in place of a file of weights


@dataclass(frozen=True)
class LoadedModel:
    """A float module, the size of its square input, and how uint8 pixels [N, H, W, 3] become its input."""

    name: str
    module: nn.Module
    size: int
    prepare: Callable[[np.ndarray], Tensor]
    names: Sequence[Mapping[str, int]] = ()  # by which its classes are known

    def example(self) -> Tensor:
        """One input of the right shape."""
        return self.prepare(np.zeros((1, self.size, self.size, 3), np.uint8))

    def classes(self) -> Classes:
        """Its outputs. Raises UserError for a model that has no classes to choose from."""
        with torch.no_grad(), evaluating(self.module):
            output = logits(self.module(self.example()))
        if output.ndim != 2 or output.shape[1] < 2:
            raise UserError(f"{self.name} gives {list(output.shape[1:]) or 'one number'} an image; top-1 needs classes")
        return Classes(output.shape[1], self.names)


def _prepare(mean: tuple[float, ...], std: tuple[float, ...], channels: int = 3) -> Callable[[np.ndarray], Tensor]:
    def colour(pixels: np.ndarray) -> Tensor:
        return normalise(torch.from_numpy(np.ascontiguousarray(pixels)), mean, std)

    if channels not in (1, 3):
        raise UserError(f"--model-args in_chans={channels}: images have 3 channels, or 1 of grey")
    return colour if channels == 3 else lambda pixels: colour(pixels).mean(1, keepdim=True)


def load_model(name: str = SHIPPED, weights: str | Path | None = None, arguments: str | None = None) -> LoadedModel:
    """Build a model by name and load its weights.

    ``vit-cifar10`` is the shipped one. Any name of ``timm.create_model`` works, its tag included, with
    ``weights``: a safetensors file, or ``pretrained`` for timm's own from the hub (random weights without;
    nothing is downloaded then). The number of classes follows the weights, and so does which encoders reuse
    attention and which MLPs are weightless. ``arguments`` of ``timm.create_model``, as ``read_arguments`` takes them,
    change size, patches, depth and the like; models of one channel see grey. Raises UnknownName for an unknown name
    or argument, UserError for weights that do not fit or cannot be had.
    """
    given = read_arguments(arguments)
    if name == SHIPPED and given:
        raise UserError(f"{SHIPPED} is fixed; --model-args are for models of timm, as --model vit_tiny_patch16_224")
    if name == SHIPPED:
        if weights == PRETRAINED:
            raise UserError(f"{SHIPPED} ships with its weights; drop --weights {PRETRAINED}")
        own = build_vit()
        _load(own, Path(weights) if weights else ASSETS / "vit_cifar10.safetensors")
        names = {label: number for number, label in enumerate(shipped_classes())}
        return LoadedModel(name, own.eval(), 32, lambda pixels: normalise(torch.from_numpy(pixels)), (names,))
    if not timm.is_model(name):
        known = timm.list_models()
        raise UnknownName("model", name, [SHIPPED, *difflib.get_close_matches(name, known, n=8, cutoff=0.4)])
    if weights == PRETRAINED:
        module = _pretrained(name, given)
    else:
        state = None if weights is None else _read(Path(weights))
        module = create(name, given, num_classes=_classes(state))
        if weights is not None:
            _load(module, Path(weights))
    config = timm.data.resolve_model_data_config(module)
    prepare = _prepare(config["mean"], config["std"], given.get("in_chans", config["input_size"][0]))
    return LoadedModel(name, module.eval(), _size(given, config["input_size"][-1]), prepare, _imagenet(module))


def _size(given: Mapping[str, Any], usual: int) -> int:
    size = given.get("img_size") or usual
    sides = size if isinstance(size, list) else [size]
    if len({*sides}) != 1 or not isinstance(sides[0], int):
        raise UserError(f"--model-args img_size={size}: images are square; give one number")
    return sides[0]


def _imagenet(module: nn.Module) -> list[dict[str, int]]:
    """Synsets, and first words that only one of them has, of the part of ImageNet that has as many classes."""
    subset = timm.data.infer_imagenet_subset(module)
    if subset is None:
        return []
    info = timm.data.ImageNetInfo(subset)
    synsets = {label.casefold(): number for number, label in enumerate(info.label_names())}
    words = [info.index_to_description(number).split(",")[0].casefold() for number in range(info.num_classes())]
    return [synsets, {word: number for number, word in enumerate(words) if words.count(word) == 1}]


def check_shipped(loaded: LoadedModel) -> None:
    """UserError unless the shipped images are of the size and the classes of a model."""
    labels, outputs = shipped_classes(), loaded.classes().outputs
    if (loaded.size, outputs) != (32, len(labels)):
        raise UserError(
            f"{loaded.name} takes {loaded.size} x {loaded.size} images of {outputs} classes, the shipped ones are "
            f"32 x 32 of {len(labels)}; give --images FOLDER with one folder a class"
        )


def wrap(module: nn.Module, size: int, mean: tuple[float, ...], std: tuple[float, ...]) -> LoadedModel:
    """Use any module: ``size`` of its square RGB input, and the normalisation it was trained with."""
    return LoadedModel(type(module).__name__, module.eval(), size, _prepare(mean, std))


def _pretrained(name: str, given: dict[str, Any]) -> nn.Module:
    """timm's own weights, through its own adaptation to the architecture."""
    file = pretrained_file(name)
    try:
        overlay = {"state_dict": _read(file)}
        module = create(name, given, pretrained=True, pretrained_cfg_overlay=overlay)
    except RuntimeError as error:
        raise UserError(f"{file}: does not fit {name}: {str(error).splitlines()[0]}") from error
    settings: Any = module.pretrained_cfg
    if given.get("num_classes", settings["num_classes"]) != settings["num_classes"]:
        raise UserError(f"{name}: the pretrained weights have {settings['num_classes']} classes; drop num_classes")
    settings["state_dict"] = None  # it would hold a second copy
    return module


def _classes(state: dict[str, Tensor] | None) -> int:
    for key in ("head.weight", "head.fc.weight", "classifier.weight", "fc.weight"):
        if state is not None and key in state:
            return state[key].shape[0]
    return 1000


def _read(weights: Path) -> dict[str, Tensor]:
    try:
        return load_file(weights)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{weights}: not a readable safetensors file ({error}); pickles are refused") from error


def _load(module: nn.Module, weights: Path) -> None:
    state = _read(weights)
    restore_structure_(module, read_facts(weights) or {})
    own = module.state_dict()
    missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    shapes = [key for key in own.keys() & state.keys() if own[key].shape != state[key].shape]
    if missing or unknown or shapes:
        what = "; ".join(
            f"{title} {', '.join(keys[:3])}{' ...' if len(keys) > 3 else ''}"
            for title, keys in (("lacks", missing), ("has unknown", unknown), ("differs in shape at", sorted(shapes)))
            if keys
        )
        raise UserError(f"{weights}: does not fit {type(module).__name__}: {what}")
    module.load_state_dict(state)
