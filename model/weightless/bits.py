"""Bits of many tokens, and the gradient that flows through them although they are integers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Bits:
    """``codes`` uint8 [B, M] of 0 and 1: B bits of M tokens, a bit's tokens side by side in memory.

    ``carrier`` float [B, M] is zero everywhere, takes no memory, and has a gradient: that of the bits, were
    they real numbers.
    """

    codes: Tensor
    carrier: Tensor

    def values(self) -> Tensor:
        """The bits as float [B, M], with their gradient."""
        return _Values.apply(self.codes, self.carrier)


class _Values(torch.autograd.Function):
    """Adding the carrier, without a pass over its zeros."""

    @staticmethod
    def forward(ctx: Any, codes: Tensor, values: Tensor) -> Tensor:
        return codes.to(values.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return None, gradients[0]


def carrier(codes: Tensor, like: Tensor) -> Tensor:
    """The carrier of ``codes``, of the type and on the device of ``like``."""
    return like.new_zeros(()).expand(codes.shape)


def select(bits: Bits, index: Tensor) -> Bits:
    """Rows ``index`` int64 [S] of the bits, any of them several times."""
    return Bits(*_Select.apply(bits.codes, bits.carrier, index))


class _Select(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, codes: Tensor, values: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(index)
        ctx.rows = len(codes)
        chosen = codes.index_select(0, index)
        ctx.mark_non_differentiable(chosen)
        return chosen, carrier(chosen, values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (index,) = ctx.saved_tensors
        return None, scatter_rows(gradients[1], index, ctx.rows), None


def scatter_rows(rows: Tensor, index: Tensor, count: int) -> Tensor:
    """Sums float [count, M] of the ``rows`` [S, M] with the same ``index`` [S]."""
    return rows.new_zeros(count, rows.shape[1]).index_add_(0, index, rows)


def by_rows(rows: Tensor, work: Callable[[slice], None], elements: int = 1 << 17) -> None:
    """Call ``work`` with slices that cover the rows of [N, M].

    On a CPU a slice has about ``elements`` numbers, so that it stays in cache; elsewhere it is everything.
    """
    count, tokens = rows.shape
    step = max(1, elements // max(1, tokens)) if rows.device.type == "cpu" else count
    for start in range(0, count, step):
        work(slice(start, start + step))
