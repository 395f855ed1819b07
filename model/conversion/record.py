"""How a model was converted, kept with it so that it can be saved."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from slipstick.errors import UserError

from .batch import Batch

Signature = dict[str, tuple[int, ...]]


def signature(model: nn.Module) -> Signature:
    """Shapes of a model's state by name."""
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


@dataclass(frozen=True)
class Conversion:
    """``example`` inputs that were traced, layers ``kept`` in float; of the float model, ``state`` and ``structure``.

    ``integer`` is the configuration of the integer form, or None.
    """

    model: str
    example: Batch
    kept: Sequence[str]
    integer: Any
    state: Signature
    structure: dict[str, Any] | None


def keep(model: nn.Module, conversion: Conversion) -> None:
    """Keep the record with a model."""
    model.__dict__["_conversion"] = conversion


def conversion_of(model: nn.Module) -> Conversion:
    """The record of a converted model. Raises UserError for any other."""
    found = model.__dict__.get("_conversion")
    if not isinstance(found, Conversion):
        raise UserError(
            f"this {type(model).__name__} was not converted by approximate_ itself: save the model that was"
        )
    return found
