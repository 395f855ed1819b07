"""Which bit goes to which input of which table: drawn at random, or learnt (DWN, ICML 2024)."""

from typing import Any

import torch
from torch import Tensor, nn

from slipstick.errors import UserError

from .bits import Bits, carrier, scatter_rows, select

TEMPERATURE = 0.001
SAMPLED = 256  # tokens


def check_reach(bits: int, slots: int) -> None:
    """Raises UserError when tables have fewer inputs than there are bits: some would be computed for nothing."""
    if bits > slots:
        raise UserError(f"{bits} bits are more than the {slots} inputs of the tables can take; use more tables")


def random_index(bits: int, slots: int, generator: torch.Generator | None = None) -> Tensor:
    """Random bits for every slot, int64 [slots]; none is used twice before all are used once."""
    check_reach(bits, slots)
    rounds = -(-slots // bits)
    return torch.cat([torch.randperm(bits, generator=generator) for _ in range(rounds)])[:slots]


class FixedMapping(nn.Module):
    """Slot s takes bit ``index[s]``; ``index`` int64 [S]."""

    index: Tensor

    def __init__(self, index: Tensor) -> None:
        super().__init__()
        self.register_buffer("index", index)

    def forward(self, bits: Bits) -> Bits:
        """Bits [B, M] -> bits [S, M]."""
        return select(bits, self.index)

    def chosen(self) -> Tensor:
        """The bit of every slot, int64 [S]."""
        return self.index


class _Choose(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, codes: Tensor, values: Tensor, scores: Tensor, sampled: int | None) -> tuple[Tensor, Tensor]:
        index = scores.argmax(0)
        ctx.save_for_backward(codes, scores, index)
        ctx.sampled = sampled
        chosen = codes.index_select(0, index)
        ctx.mark_non_differentiable(chosen)
        return chosen, carrier(chosen, values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        codes, scores, index = ctx.saved_tensors
        gradient = gradients[1]
        if ctx.sampled is None:
            to_bits = (scores / TEMPERATURE).softmax(0) @ gradient
            stride = 1
        else:
            to_bits = scatter_rows(gradient, index, len(codes))
            stride = max(1, codes.shape[1] // ctx.sampled)
        signs = codes[:, ::stride].to(gradient.dtype) * (2 * stride) - stride
        return None, to_bits, signs @ gradient[:, ::stride].T, None


class LearnableMapping(nn.Module):
    """Slot s takes the bit with its highest score; ``scores`` [B, S] are learnt, and dropped after training.

    A score's gradient is that of its slot, times the sign of its bit, summed over tokens; bits get the slots'
    gradients weighted by a softmax of the scores of TEMPERATURE. With ``sampled``, cheaper: scores learn from
    about that many tokens spread evenly over the batch, scaled up, and a slot's gradient goes to its bit alone.
    """

    def __init__(
        self, bits: int, slots: int, sampled: int | None = None, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        check_reach(bits, slots)
        self.sampled = sampled
        self.scores = nn.Parameter(torch.rand(bits, slots, generator=generator))

    def forward(self, bits: Bits) -> Bits:
        """Bits [B, M] -> bits [S, M]."""
        return Bits(*_Choose.apply(bits.codes, bits.carrier, self.scores, self.sampled))

    def chosen(self) -> Tensor:
        """The bit of every slot, int64 [S]."""
        return self.scores.detach().argmax(0)
