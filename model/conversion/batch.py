"""Batches of model inputs: a tensor, positional tensors, or keyword tensors as ``transformers`` models take them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from slipstick.errors import UserError
from slipstick.store import digest

Batch = Tensor | tuple[Tensor, ...] | Mapping[str, Tensor]


def tensors(batch: Batch) -> dict[str, Tensor]:
    """The tensors of a batch with a name for each. Raises UserError for anything else."""
    if isinstance(batch, Tensor):
        named: dict[str, Any] = {"": batch}
    elif isinstance(batch, Mapping):
        named = dict(batch)
    else:
        named = {str(place): part for place, part in enumerate(batch)}
    if not named or not all(isinstance(part, Tensor) and part.ndim for part in named.values()):
        raise UserError("a calibration batch is a tensor [B, ...], a tuple of such, or a mapping of names to such")
    return named


def count(batch: Batch) -> int:
    """Number of examples B, the length of the first dimension."""
    lengths = {len(part) for part in tensors(batch).values()}
    if len(lengths) > 1:
        raise UserError(f"the tensors of a calibration batch differ in their first dimension: {sorted(lengths)}")
    return lengths.pop()


def content(batch: Batch) -> str:
    """SHA-256 of the names, shapes, dtypes and bytes of a batch's tensors."""
    parts: list[Any] = []
    for name, part in tensors(batch).items():
        plain = part.detach().cpu().contiguous()
        parts += [name, str(part.dtype), list(part.shape), plain.view(torch.uint8).numpy()]
    return digest(*parts)


def _each(change: Callable[[Tensor], Tensor], batch: Batch) -> Batch:
    if isinstance(batch, Tensor):
        return change(batch)
    if isinstance(batch, Mapping):
        return {name: change(part) for name, part in batch.items()}
    return tuple(change(part) for part in batch)


def some(batch: Batch, start: int, stop: int | None = None) -> Batch:
    """Examples ``start`` to ``stop`` of a batch."""
    return _each(lambda part: part[start:stop], batch)


def differentiable(batch: Batch) -> Batch:
    """The batch with gradients by its float tensors."""
    return _each(lambda part: part.detach().requires_grad_() if part.is_floating_point() else part, batch)


def forward(model: nn.Module, batch: Batch) -> Any:
    """Call a model on a batch; what was compiled runs as it is written, so that every module is called."""
    if is_compiled(model):
        with torch.compiler.set_stance("force_eager"):
            return _call(model, batch)
    return _call(model, batch)


def _call(model: nn.Module, batch: Batch) -> Any:
    if isinstance(batch, Tensor):
        return model(batch)
    return model(**batch) if isinstance(batch, Mapping) else model(*batch)


def is_compiled(model: nn.Module) -> bool:
    """Whether ``torch.compile`` stands before a module of the model."""
    return any("_orig_mod" in one._modules or one._compiled_call_impl is not None for one in model.modules())


def logits(output: Any) -> Tensor:
    """The tensor [..., classes] of what a model returned: itself, its ``logits``, or its first part.

    Raises UserError where there is none.
    """
    if isinstance(output, Tensor):
        return output
    found = getattr(output, "logits", None)
    if found is None and isinstance(output, Mapping):
        found = output.get("logits", next(iter(output.values()), None))
    elif found is None and isinstance(output, Sequence) and not isinstance(output, str):
        found = next(iter(output), None)
    if found is None:
        raise UserError(
            f"the model returns {type(output).__name__}; a tensor, or a tuple or mapping with one, is needed"
        )
    return logits(found)


def check_batches(batches: list[Batch]) -> list[Batch]:
    """The batches; UserError for no batches, an empty one, or one that holds NaN or Inf."""
    if not batches:
        raise UserError("no calibration batches; give at least one")
    for number, batch in enumerate(batches):
        if count(batch) == 0:
            raise UserError(f"calibration batch {number} is empty")
        for name, part in tensors(batch).items():
            if part.is_floating_point() and not torch.isfinite(part).all():
                raise UserError(f"calibration batch {number}{f' ({name})' * bool(name)} holds NaN or Inf")
    return batches
