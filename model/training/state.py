"""Saved states of training: tensors and facts in one safetensors file, so that neither is newer than the other."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from slipstick.errors import UserError
from slipstick.files import write_whole

from ..tensor_file import read_tensors

FACTS = "facts"


def save_tensors(path: Path, tensors: dict[str, Tensor], facts: Any = None) -> None:
    """Write tensors, with JSON ``facts`` as metadata, to a safetensors file in one step."""
    metadata = None if facts is None else {FACTS: json.dumps(facts)}
    whole = {name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in tensors.items()}
    write_whole(path, lambda file: save_file(whole, file, metadata))


def read_facts(path: Path) -> Any:
    """The facts beside the tensors of a safetensors file; None where there are none."""
    with safe_open(path, "pt") as file:
        facts = (file.metadata() or {}).get(FACTS)
    return None if facts is None else json.loads(facts)


def load_state(path: Path, config: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and facts of a saved state whose ``facts["config"]`` is ``config``.

    Raises UserError for a file that is no such state, or one of another configuration.
    """
    try:
        metadata, tensors = read_tensors(path)
        facts = json.loads(metadata[FACTS])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise UserError(f"{path}: not a saved state of training ({error}); delete it to begin anew") from error
    if facts["config"] != config:
        differ = sorted(k for k in facts["config"].keys() | config if facts["config"].get(k) != config.get(k))
        raise UserError(f"{path}: written with another {', '.join(differ)}; delete it, or train with the same settings")
    return tensors, facts


def training_tensors(model: nn.Module, optimisers: Sequence[Optimizer]) -> dict[str, Tensor]:
    """The whole state of a model and its optimisers, by name."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for number, optimiser in enumerate(optimisers):
        for index, entry in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{index}.{key}": value for key, value in entry.items()}
    return tensors


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names start with ``prefix``, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def restore_training(tensors: dict[str, Tensor], model: nn.Module, optimisers: Sequence[Optimizer]) -> None:
    """Put back what ``training_tensors`` gave."""
    model.load_state_dict(part(tensors, "model."))
    for number, optimiser in enumerate(optimisers):
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in part(tensors, f"optimiser.{number}.").items():
            index, name = key.split(".", 1)
            state.setdefault(int(index), {})[name] = value
        parameters = [p for group in optimiser.param_groups for p in group["params"]]
        for place, entry in state.items():  # fused kernels pair elements by memory, so layouts must agree
            like = parameters[place]
            entry |= {k: torch.empty_like(like).copy_(v) for k, v in entry.items() if v.shape == like.shape}
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
