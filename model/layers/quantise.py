"""Symmetric quantisation to int8 codes of up to 8 bits."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from slipstick.rtl.spec.fixed import Requant, requantise

from ..kernels import ops
from ..kernels.ops import available


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
