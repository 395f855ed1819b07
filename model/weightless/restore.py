"""A model with weightless MLPs again from its files: the integers that ``export`` wrote, and all its weights."""

import re
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from slipstick.errors import UserError
from slipstick.rtl.spec.lutnet import LutNetSpec

from .export import load_lutnets, to_spec
from .mlp import WeightlessConfig, WeightlessMlp
from .replace import check_blocks, weightless_mlps


def restore_(model: nn.Module, integers: Path, weights: Path) -> dict[str, LutNetSpec]:
    """Put the weightless MLPs of an export into a float model, in place, and load its weights; binarised.

    ``integers`` is the export's path, ``weights`` the safetensors file of all parameters that
    ``finetune_weightless`` wrote. Returns the integers by the MLP's name. Raises UserError for files that
    are missing, do not fit the model, or differ from each other.
    """
    specs = load_lutnets(integers)
    check_blocks(model, [_block(name) for name in specs])
    try:
        state = load_file(weights)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{weights}: not a readable safetensors file ({error})") from error
    for name, spec in specs.items():
        window = f"{name}.thermometer.width" in state
        model.set_submodule(name, _like(spec, "window" if window else "identity"))
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip()
        raise UserError(f"{weights}: does not fit the model with the MLPs of {integers}: {first}") from error
    for name, mlp in weightless_mlps(model).items():
        mlp.binarise_()
        own, wanted = to_spec(mlp, name), specs[name]
        same = all(np.array_equal(own.arrays()[key], value) for key, value in wanted.arrays().items())
        if not same or own.to_json() != wanted.to_json():
            raise UserError(f"{name}: the integers of {integers} are not those of the weights in {weights}")
    return specs


def _block(name: str) -> int:
    found = re.fullmatch(r"blocks\.(\d+)\.mlp", name)
    if not found:
        raise UserError(f"{name!r} does not name the MLP of a block")
    return int(found[1])


def _like(spec: LutNetSpec, surrogate: str) -> WeightlessMlp:
    """A weightless MLP of these sizes, its weights still to be loaded."""
    features, thresholds = spec.thresholds.shape
    luts = tuple(len(layer.tables) for layer in spec.layers)
    config = WeightlessConfig(thresholds, "linear", surrogate=surrogate, luts=luts, arity=spec.layers[0].arity,
                              entry_width=spec.entry_width)  # fmt: skip
    return WeightlessMlp(config, torch.eye(features), torch.ones(features, spec.entries.shape[1]))
