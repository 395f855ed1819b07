"""Activation functions as piecewise linear tables on integer codes."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from slipstick.rtl.spec.activation import ActivationSpec
from slipstick.rtl.spec.pwl import PwlTable

from .codes import Codes, results, straight_through
from .products import Requantiser, clamp_values


class PwlActivation(nn.Module):
    """An activation function of accumulators: codes of scale 2^-d, the table, int8 of the consumer's scale.

    ``function`` is the float one, whose gradient training takes.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], table: PwlTable) -> None:
        super().__init__()
        self.function, self.table = function, table
        self.before, self.after = Requantiser(*table.input_range), Requantiser()
        self.register_buffer("input_scale", torch.tensor(2.0**-table.input_fraction), persistent=False)
        self.register_buffer("result_scale", torch.tensor(2.0**-table.fraction), persistent=False)

    input_scale: Tensor
    result_scale: Tensor

    def spec(self, scale: Tensor, out: Tensor) -> ActivationSpec:
        """What ``forward`` computes, for accumulators of ``scale`` [N] or [1] and results of scale ``out``."""
        before = self.before.requant(scale, self.input_scale)
        return ActivationSpec(before, self.table, self.after.requant(self.result_scale, out))

    def forward(self, x: Codes, out: Tensor) -> Codes:
        """Accumulators [..., N] -> int8 codes [..., N] of scale ``out``."""
        codes = self.before(x, self.input_scale)
        found = results(self.table, codes.codes.device)[codes.codes.long() - self.before.low]
        result = self.after(Codes(found, self.result_scale), out)
        if codes.values is None:
            return result
        reference = clamp_values(self.function(codes.values), out, self.after.low, self.after.high)
        return straight_through(reference, result.codes, out)
