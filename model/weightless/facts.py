"""The settings of a model's weightless MLPs as JSON, and a model built by them, ready for its weights."""

from dataclasses import asdict
from typing import Any

import torch
from timm.layers.mlp import Mlp
from torch import nn

from slipstick.errors import UserError

from .mlp import WeightlessConfig, WeightlessMlp
from .replace import weightless_mlps

ROWS = 256  # of stand-in activations; everything that follows from them, the weights replace


def weightless_facts(model: nn.Module) -> dict[str, dict[str, Any]]:
    """Settings of every weightless MLP by name; nothing where there is none."""
    return {name: asdict(mlp.config) for name, mlp in weightless_mlps(model).items()}


def weightless_from_facts_(model: nn.Module, facts: dict[str, dict[str, Any]]) -> None:
    """Put weightless MLPs of these settings, with fixed mappings, in the places of timm's, in place.

    Raises UserError for names at which there is no timm Mlp, and for settings out of range.
    """
    modules = dict(model.named_modules())
    for name, settings in facts.items():
        place = modules.get(name)
        if type(place) is not Mlp:
            raise UserError(f"the weights have a weightless MLP at {name!r}, where the model has no timm Mlp")
        parent, _, own = name.rpartition(".")
        setattr(modules[parent], own, _build(settings, place))


def _build(settings: dict[str, Any], place: Mlp) -> WeightlessMlp:
    try:
        config = WeightlessConfig(**(settings | {"luts": tuple(settings["luts"])}))
    except (TypeError, KeyError) as error:
        raise UserError(f"settings of a weightless MLP that are none: {error}") from error
    assert isinstance(place.fc1, nn.Linear) and isinstance(place.fc2, nn.Linear)
    rows = torch.randn(ROWS, place.fc1.in_features, generator=torch.Generator().manual_seed(0))
    mlp = WeightlessMlp(config, rows, torch.zeros(ROWS, place.fc2.out_features))
    mlp.fix_mapping_()
    return mlp
