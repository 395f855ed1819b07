"""Integer tensors that know their scale, and the gradient that passes straight through their rounding."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from slipstick.rtl.spec.pwl import PwlTable
from slipstick.rtl.spec.rows import ArrayKind


@dataclass(frozen=True)
class Codes:
    """Whole numbers ``codes`` of any shape that stand for ``codes * scale``; ``scale`` float, [] or [N].

    While training ``values`` holds these products as float32 with their gradient; in inference there is
    none, and nothing but integers is computed.
    """

    codes: Tensor
    scale: Tensor
    values: Tensor | None = None

    def map(self, shape: Any) -> "Codes":
        """The same numbers in another shape: ``shape`` is applied to codes and values."""
        return Codes(shape(self.codes), self.scale, None if self.values is None else shape(self.values))


class _Straight(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, reference: Tensor, codes: Tensor, scale: Tensor) -> Tensor:
        return codes.to(reference.dtype) * scale

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return gradients[0], None, None


def straight_through(reference: Tensor | None, codes: Tensor, scale: Tensor) -> Codes:
    """``codes`` with the gradient of ``reference``, the float function they stand for; None in inference."""
    values = None if reference is None else _Straight.apply(reference, codes, scale)
    return Codes(codes, scale, values)


def where(condition: Any, yes: Any, no: Any) -> Any:
    """Multiplexer of ``rtl.spec`` for tensors."""
    return torch.where(condition, yes, no)


@lru_cache(maxsize=512)
@torch.inference_mode(False)
def results(table: PwlTable, device: torch.device) -> Tensor:
    """Results of a table for every input code, int64 [2^input_width]."""
    return torch.from_numpy(table.results.copy()).to(device)


TORCH = ArrayKind(
    where,
    lambda rows: rows.amax(-1, keepdim=True),
    lambda rows: rows.sum(-1, keepdim=True),
    lambda table, codes: results(table, codes.device)[codes - table.input_range[0]],
)
