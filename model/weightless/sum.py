"""From the bits of the last tables to numbers: counts of groups, or a learnt vector added for every 1."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slipstick.errors import UserError
from slipstick.limits import Limits
from slipstick.model.kernels.ops import available
from slipstick.model.kernels.weightless import conditional_gradients, conditional_sum

from .bits import Bits

SUMS = ("conditional", "group")
ENTRY_WIDTH = Limits(2, 16)


class GroupSum(nn.Module):
    """Number of ones in each of ``groups`` equal groups of bits, divided by ``temperature``; zeros fill the last."""

    def __init__(self, groups: int, temperature: float = 1.0) -> None:
        super().__init__()
        if groups < 1 or not 0 < temperature < math.inf:
            raise UserError(f"group sum: {groups} groups, temperature {temperature}; both must be positive")
        self.groups, self.temperature = groups, temperature

    def forward(self, bits: Bits) -> Tensor:
        """Bits [N, M] -> sums float [M, groups]."""
        values = bits.values()
        padded = F.pad(values, (0, 0, 0, -len(values) % self.groups))
        return padded.unflatten(0, (self.groups, -1)).sum(1).T / self.temperature


class _CompiledSum(torch.autograd.Function):
    """The sum by the compiled kernels: the same numbers, gradients that differ in the order of their sums."""

    @staticmethod
    def forward(ctx: Any, bits: Tensor, values: Tensor, entries: Tensor, codes: Tensor, scale: Tensor) -> Tensor:
        ctx.save_for_backward(bits, codes, scale)
        return conditional_sum(bits, codes.to(torch.int32)) * scale

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        bits, codes, scale = ctx.saved_tensors
        return None, *conditional_gradients(bits, codes * scale, gradients[0]), None, None


class ConditionalSum(nn.Module):
    """``o = sum_i z_i E_i`` [D] over the bits z: nothing is multiplied, only added or left out.

    ``entries`` [N, D] are used as signed integers of ``width`` bits with one scale; gradients pass straight
    through their rounding, unless they are not ``learnt``. Raises UserError for a width that is not 2 to 16.
    """

    def __init__(self, entries: Tensor, width: int = 8, learnt: bool = True) -> None:
        super().__init__()
        ENTRY_WIDTH.check("bits of an entry", width)
        self.width = width
        self.entries = nn.Parameter(entries, requires_grad=learnt)

    @property
    def scale(self) -> Tensor:
        """What a code of 1 stands for, float []."""
        largest = self.entries.detach().abs().amax().clamp(min=1e-12)
        return largest / ((1 << (self.width - 1)) - 1)

    def codes(self) -> Tensor:
        """The entries in hardware, whole numbers in float [N, D]."""
        return (self.entries.detach() / self.scale).round()

    def forward(self, bits: Bits) -> Tensor:
        """Bits [N, M] -> sums float [M, D]: exact multiples of ``scale``."""
        entries = self.entries
        if not available(entries.device) or entries.dtype != torch.float32 or bits.carrier.dtype != torch.float32:
            codes = self.codes() + (entries - entries.detach()) / self.scale
            return (bits.values().T @ codes) * self.scale
        sums: Tensor = _CompiledSum.apply(bits.codes, bits.carrier, entries, self.codes(), self.scale)
        return sums


def group_entries(count: int, wanted: Tensor) -> Tensor:
    """Entries [N, D] that make a conditional sum of N = ``count`` bits a group sum; 0 where there is nothing to add.

    Bits are dealt out to the outputs in turn, each output's first with a plus, its next with a minus, and so on; one
    value for all, so that sums of independent even bits spread as ``wanted`` [M, D] does.
    Raises UserError for fewer bits than outputs.
    """
    outputs = wanted.shape[1]
    if count < outputs:
        raise UserError(f"{count} bits cannot be {outputs} groups; use at least one table an output")
    numbers = torch.arange(count, device=wanted.device)
    signs = 1 - 2 * ((numbers // outputs) % 2).to(wanted.dtype)
    spread = wanted.std() / (count / outputs / 4) ** 0.5
    return F.one_hot(numbers % outputs, outputs) * signs[:, None] * spread


def solve(bits: Tensor, wanted: Tensor, ridge: float = 1e-3) -> Tensor:
    """Entries [N, D] whose conditional sum over ``bits`` float [N, M] comes nearest to ``wanted`` [M, D].

    Least squares with ``ridge`` times the number of tokens on the diagonal.
    """
    bits, wanted = bits.double(), wanted.double()
    gram = bits @ bits.T
    gram.diagonal().add_(ridge * bits.shape[1])
    return torch.linalg.solve(gram, bits @ wanted).to(torch.float32)
