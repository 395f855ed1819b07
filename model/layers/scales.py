"""Scales of constant weights: one an output channel, so that the weights and the bias of each are whole numbers."""

import torch
from torch import Tensor

from .quantise import weight_scale

BIAS_LIMIT = 1 << 30  # half of int32 is left to the products
LEAST = 2.0**-100  # of a scale, and of an accumulator's unit: far above where float32 loses digits


def channel_scale(weight: Tensor, bias: Tensor | None, activation_scale: Tensor, limit: int, clip: Tensor) -> Tensor:
    """Scale float32 [N] of weight codes up to ``limit`` for ``weight`` [N, ...] and ``bias`` [N], finite.

    That of the part ``clip`` [N] of the largest weight, unless the bias would leave +-``BIAS_LIMIT`` in units of
    ``activation_scale`` times it: then the scale follows the bias, beside which weights so small lose nothing that
    can be seen (half a code of K products is K / 2^24 of the bias at most). A channel without any number but zero
    takes the largest scale of the others, at which what its cells make of weights of zero is no larger than theirs.
    """
    scale = weight_scale(weight, limit) * clip
    empty = weight.detach().flatten(1).abs().amax(1) == 0
    if bias is not None:
        for_bias = (bias.detach().double().abs() / (BIAS_LIMIT * activation_scale.double())).float()
        scale = torch.where(empty, for_bias, torch.maximum(scale, for_bias))
        empty &= bias.detach() == 0
    scale = scale.clamp(min=float(LEAST / activation_scale.clamp(max=1)))  # below, weights and bias are as good as zero
    others = scale[~empty]
    return torch.where(empty, others.max() if len(others) else torch.ones_like(scale), scale)
