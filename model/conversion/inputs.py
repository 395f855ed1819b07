"""What a user gives to calibrate with, as batches that the model takes: labels off, types as it needs them."""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from slipstick.errors import UserError

from .batch import Batch, check_batches

LABELS = {"label", "labels", "target", "targets", "y", "class", "classes", "idx", "index"}
FORMS = "give a tensor [B, ...], a tuple of such, a mapping of names to such, or an iterable of these"


def read_batches(model: nn.Module, batches: Any) -> list[Batch]:
    """Batches from one batch, or from an iterable that is gone through once.

    Labels are left out: what a mapping calls so, or what follows the inputs and has one value an example, unless the
    model's forward needs it. Floats get the type of the parameters. Raises UserError for no batches, empty ones, NaN
    or Inf, and what the model's forward cannot take.
    """
    if isinstance(batches, Tensor | Mapping):
        batches = [batches]
    if not isinstance(batches, Iterable) or isinstance(batches, str | bytes):
        raise UserError(f"calibration batches are of type {type(batches).__name__}; {FORMS}")
    parameters = _parameters(model)
    own = {parameter.dtype for parameter in model.parameters() if parameter.is_floating_point()}
    dtype = own.pop() if len(own) == 1 else None
    found = [_read(number, batch, parameters, dtype) for number, batch in enumerate(batches)]
    return check_batches(found)


def _parameters(model: nn.Module) -> Sequence[inspect.Parameter]:
    """Those of forward, behind the wrappers of torch."""
    while isinstance(model, DataParallel | DistributedDataParallel) or "_orig_mod" in model._modules:
        model = next(model.children())
    return list(inspect.signature(model.forward).parameters.values())


def _read(number: int, batch: Any, parameters: Sequence[inspect.Parameter], dtype: torch.dtype | None) -> Batch:
    def fitted(part: Tensor) -> Tensor:
        part = part.clone() if part.is_inference() else part  # autograd refuses those
        return part.to(dtype) if dtype is not None and part.is_floating_point() else part

    if isinstance(batch, Tensor):
        return fitted(batch)
    _check_lengths(number, batch)
    if isinstance(batch, Mapping):
        chosen = _by_name(number, dict(batch), parameters)
        return tuple(map(fitted, chosen)) if isinstance(chosen, tuple) else {k: fitted(v) for k, v in chosen.items()}
    if isinstance(batch, tuple | list) and batch and isinstance(batch[0], Tensor):
        inputs = _by_place(number, batch, parameters)
        return fitted(inputs[0]) if len(inputs) == 1 else tuple(map(fitted, inputs))
    raise UserError(f"calibration batch {number} is of type {type(batch).__name__}; {FORMS}")


def _check_lengths(number: int, batch: Any) -> None:
    """UserError where tensors of a batch, labels among them, are of different numbers of examples."""
    parts = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, tuple | list) else ()
    lengths = {len(part) for part in parts if isinstance(part, Tensor) and part.ndim}
    if len(lengths) > 1:
        raise UserError(f"the tensors of calibration batch {number} differ in their first dimension: {sorted(lengths)}")


def _by_place(number: int, parts: Sequence[Any], parameters: Sequence[inspect.Parameter]) -> tuple[Tensor, ...]:
    several = any(one.kind is inspect.Parameter.VAR_POSITIONAL for one in parameters)
    places = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    needed = sum(one.default is one.empty for one in places)
    inputs = list(parts)
    while len(inputs) > max(needed, 1) and (_is_label(inputs[-1]) or (len(inputs) > len(places) and not several)):
        inputs.pop()
    if len(inputs) < needed:
        raise UserError(f"calibration batch {number} has {len(inputs)} tensors, the model's forward needs {needed}: "
                        f"{', '.join(one.name for one in places[:needed])}")  # fmt: skip
    if not all(isinstance(part, Tensor) for part in inputs):
        raise UserError(f"calibration batch {number} holds other things than tensors; {FORMS}")
    return tuple(inputs)


def _is_label(part: Any) -> bool:
    return not isinstance(part, Tensor) or part.ndim <= 1


def _by_name(
    number: int, parts: dict[Any, Any], parameters: Sequence[inspect.Parameter]
) -> dict[str, Tensor] | tuple[Tensor, ...]:
    tensors = {name: part for name, part in parts.items() if isinstance(part, Tensor)}
    if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters):
        return tensors
    taken = {one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}
    needed = [one.name for one in parameters if one.default is one.empty and one.name in taken]
    inputs = {name: part for name, part in tensors.items() if name in taken}
    others = {name: part for name, part in tensors.items() if name not in taken and str(name).lower() not in LABELS}
    if all(name in inputs for name in needed) and not others:
        return inputs
    if not inputs and len(others) == len(needed) == 1:  # one tensor, whatever the data set calls it
        return tuple(others.values())
    if wrong := [name for name in needed if name in parts and name not in tensors]:
        raise UserError(f"{wrong[0]!r} of calibration batch {number} is {type(parts[wrong[0]]).__name__}; {FORMS}")
    raise UserError(f"calibration batch {number} has {', '.join(map(str, parts))}; the model's forward takes "
                    f"{', '.join(one.name for one in parameters)}")  # fmt: skip
