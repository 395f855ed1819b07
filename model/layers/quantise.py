"""Symmetric quantisation to int8 codes of up to 8 bits, and the observers that choose its scales."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from slipstick.errors import UserError
from slipstick.rtl.spec.fixed import Requant, requantise

from ..kernels import ops
from ..kernels.ops import available

BINS = 4096
Method = Literal["percentile", "minmax", "mse"]


@dataclass(frozen=True)
class QuantConfig:
    """How operands become codes.

    Activation scales follow a ``percentile`` of |x|, its maximum, or least squared error; weight scales
    the maximum of a channel. Codes are int8 whatever the bits: activations of b bits lie in
    [-2^(b-1), 2^(b-1) - 1], weights in +-(2^(b-1) - 1). Raises UserError for bits out of range.
    """

    method: Method = "percentile"
    percentile: float = 99.99
    activation_bits: int = 8
    weight_bits: int = 8

    def __post_init__(self) -> None:
        for kind, bits, least in (("activation", self.activation_bits, 4), ("weight", self.weight_bits, 2)):
            if not least <= bits <= 8:
                raise UserError(f"{kind}_bits is {bits}; {kind}s have {least} to 8 bits")
        if not 0 < self.percentile <= 100:
            raise UserError(f"percentile is {self.percentile}; give more than 0 and at most 100")

    @property
    def activation_limit(self) -> int:
        """Largest activation code; the least is one below its negative."""
        return 2 ** (self.activation_bits - 1) - 1

    @property
    def weight_limit(self) -> int:
        """Largest weight code; the least is its negative."""
        return 2 ** (self.weight_bits - 1) - 1


def quantise(values: Tensor, scale: Tensor, low: int = -128, high: int = 127) -> Tensor:
    """``clamp(round_half_even(values / scale), low, high)`` as int8. Raises NotFinite for NaN and Inf."""
    if scale.numel() == 1 and values.dtype == torch.float32 and available(values.device):
        return ops.quantise(values, scale, low, high)
    if not torch.isfinite(values).all():
        raise ops.NotFinite("a value to be quantised is NaN or Inf")
    return torch.round(values / scale).clamp_(low, high).to(torch.int8)


def requantise_codes(accumulators: Tensor, requant: Requant) -> Tensor:
    """Requantise accumulators int32 [..., N] to int8 [..., N]: ``spec.fixed.requantise``, compiled if possible."""
    device, channels = accumulators.device, accumulators.shape[-1]
    if available(device):
        factor = torch.from_numpy(np.ldexp(requant.multiplier.astype(float), -requant.shift)).expand(channels)
        return ops.requantise(accumulators, factor.contiguous(), requant.zero, requant.low, requant.high)
    multiplier, shift = (torch.from_numpy(part).to(device) for part in (requant.multiplier, requant.shift))
    limits = (requant.zero, requant.low, requant.high)
    return requantise(accumulators.long(), multiplier, shift, *limits, _torch_where).to(torch.int8)


def _torch_where(condition: Any, yes: Any, no: Any) -> Any:
    return torch.where(condition, yes, no)


def clamped(values: Tensor, codes: Tensor, scale: Tensor, low: int, high: int) -> Tensor:
    """Flat places where ``quantise(values, scale, low, high)``, which gave ``codes``, clamps: int64, few as a rule.

    ``values`` [..., N], ``scale`` a scalar, [1] or [N].
    """
    values, codes = (part.reshape(-1, part.shape[-1]) for part in (values, codes))
    some = ((codes.amax(1) == high) | (codes.amin(1) == low)).nonzero()[:, 0]  # rows: a tenth of looking at all codes
    within, column = (((codes[some] == low) | (codes[some] == high)).nonzero()).unbind(1)
    row = some[within]
    rounded = torch.round(values[row, column] / (scale if scale.numel() == 1 else scale[column]))
    clamps = (rounded < low) | (rounded > high)
    return (row * codes.shape[1] + column)[clamps]


def weight_scale(weights: Tensor, limit: int = 127) -> Tensor:
    """Scale of every output channel, ``amax / limit``: [N, ...] -> [N]; 1 for a channel of zeros."""
    largest = weights.detach().flatten(1).abs().amax(1)
    return torch.where(largest > 0, largest / limit, torch.ones_like(largest))


class Observer:
    """Histogram of |x| over any number of batches; the range doubles when a value exceeds it."""

    def __init__(self) -> None:
        self.counts = torch.zeros(BINS, dtype=torch.float64)
        self.range = 0.0
        self.largest = 0.0

    def update(self, values: Tensor) -> None:
        """Add a batch of any shape."""
        size = values.detach().abs().flatten().float()
        self.largest = max(self.largest, float(size.max()))
        if self.range == 0:
            self.range = self.largest or 1.0
        while self.range < self.largest:
            self.counts = torch.cat([self.counts.view(-1, 2).sum(1), torch.zeros(BINS // 2, dtype=torch.float64)])
            self.range *= 2
        self.counts += torch.histc(size, BINS, 0, self.range).double().cpu()

    def scale(self, config: QuantConfig) -> float:
        """The scale that ``config`` chooses."""
        if self.largest == 0:
            return 1.0
        edge = self.range / BINS
        if config.method == "minmax":
            limit = self.largest
        elif config.method == "percentile":
            below = torch.cumsum(self.counts, 0)
            index = int(torch.searchsorted(below, below[-1] * config.percentile / 100))
            limit = min((index + 1) * edge, self.largest)
        else:
            centres = (torch.arange(BINS, dtype=torch.float64) + 0.5) * edge
            limits = [self.largest * step / 64 for step in range(8, 65)]
            limit = min(
                limits, key=lambda top: float(self.counts @ _squared_error(centres, top, config.activation_limit))
            )
        return limit / config.activation_limit


def _squared_error(values: Tensor, top: float, limit: int) -> Tensor:
    scale = top / limit
    return (values - torch.round(values / scale).clamp(max=limit) * scale) ** 2
