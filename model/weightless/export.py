"""Weightless MLPs as whole numbers: to ``LutNetSpec``, the contract of their hardware, and to files."""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from torch import nn

from slipstick.errors import UserError
from slipstick.files import read_json, write_text, write_whole
from slipstick.rtl.spec.lutnet import LutLayerSpec, LutNetSpec

from .mapping import FixedMapping
from .mlp import WeightlessMlp
from .replace import weightless_mlps


def to_spec(mlp: WeightlessMlp, name: str = "weightless MLP") -> LutNetSpec:
    """The integers of a weightless MLP; its outputs are the accumulators times ``output_scale``.

    Raises UserError when its tables are not binary or its mappings still learn: see ``WeightlessMlp.binarise_``.
    """
    layers = []
    for place, (mapping, layer) in enumerate(mlp.stages()):
        if not (layer.tables.abs() == 1).all():
            raise UserError(f"{name}: tables of layer {place} are not binary; call binarise_() after training")
        if not isinstance(mapping, FixedMapping):
            raise UserError(f"{name}: the mapping of layer {place} still learns; call binarise_() after training")
        index = mapping.index.cpu().numpy().reshape(-1, layer.arity)
        layers.append(LutLayerSpec(index, layer.binary().cpu().numpy()))
    return LutNetSpec(
        mlp.thermometer.codes().cpu().numpy(), tuple(layers), mlp.sum.codes().to(torch.int64).cpu().numpy(),
        mlp.sum.width, float(mlp.thermometer.scale), float(mlp.sum.scale),
    )  # fmt: skip


def export(model: nn.Module, out: Path) -> dict[str, LutNetSpec]:
    """Write ``out``.json, what there is, and ``out``.safetensors, its integers, for every weightless MLP by name.

    Raises UserError when there is none, or one is not binary; nothing is written then.
    """
    specs = {name: to_spec(mlp, name) for name, mlp in weightless_mlps(model).items()}
    if not specs:
        raise UserError("the model has no weightless MLP to export")
    arrays = {
        f"{name}.{key}": np.ascontiguousarray(v) for name, spec in specs.items() for key, v in spec.arrays().items()
    }
    write_whole(out.with_name(out.name + ".safetensors"), lambda file: save_file(arrays, file))
    facts = {name: spec.to_json() for name, spec in specs.items()}
    write_text(out.with_name(out.name + ".json"), json.dumps(facts, indent=1) + "\n")
    return specs


def load_lutnets(path: Path) -> dict[str, LutNetSpec]:
    """What ``export`` wrote under ``path``. Raises UserError for files that are missing, or no such export."""
    try:
        facts = read_json(path.with_name(path.name + ".json"))
        arrays = load_file(path.with_name(path.name + ".safetensors"))
    except (OSError, UserError, SafetensorError) as error:
        raise UserError(f"{path}: not an export of weightless MLPs ({error})") from error
    if not isinstance(facts, dict):
        raise UserError(f"{path}: not an export of weightless MLPs (a {type(facts).__name__}, no object)")
    return {
        name: LutNetSpec.from_parts(
            one, {key.removeprefix(f"{name}."): value for key, value in arrays.items() if key.startswith(f"{name}.")}
        )
        for name, one in facts.items()
    }


def exported(model: nn.Module, path: Path) -> dict[str, LutNetSpec]:
    """The integers under ``path``, which must be those of the model's weightless MLPs; these are binary then.

    Raises UserError where they are not.
    """
    specs, mlps = load_lutnets(path), weightless_mlps(model)
    if specs.keys() != mlps.keys():
        raise UserError(f"{path} has the MLPs {', '.join(specs)}; the model's weightless ones are {', '.join(mlps)}")
    for name, mlp in mlps.items():
        mlp.binarise_()
        own, wanted = to_spec(mlp, name), specs[name]
        same = all(np.array_equal(own.arrays()[key], value) for key, value in wanted.arrays().items())
        if not same or own.to_json() != wanted.to_json():
            raise UserError(f"{name}: the integers of {path} are not those of the model")
    return specs
