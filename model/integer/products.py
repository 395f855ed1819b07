"""Products on cells and requantisers between codes: what stands between the non-linear operators."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from slipstick.errors import UserError
from slipstick.rtl.spec import residual
from slipstick.rtl.spec.fixed import Requant, requantise

from ..layers.convolution import ApproxConv2d
from ..layers.derived import Derived
from ..layers.gradients import product
from ..layers.matmul import ApproxMatmul
from ..layers.weights import WeightLayer
from .codes import Codes, straight_through, where

RESIDUAL_RANGE = residual.LOW, residual.HIGH


def accumulate(layer: WeightLayer, x: Codes) -> Codes:
    """Accumulators int32 [..., N] of activation codes [..., K] of the layer's own scale."""
    if x.values is None:
        return Codes(layer.accumulate(x.codes), layer.unit())
    totals: list[Tensor] = []
    values = product(layer, x.values, layer.matrix(layer.weight), layer.bias, totals=totals)
    return Codes(totals[0], layer.unit(), values)


def accumulate_pair(layer: ApproxMatmul, x: Codes, stationary: Codes) -> Codes:
    """Accumulators int32 [..., M, N] of two operands' codes."""
    if x.values is None or stationary.values is None:
        return Codes(layer.accumulate(x.codes, stationary.codes), layer.unit())
    totals: list[Tensor] = []
    values = product(layer, x.values, stationary.values, None, totals=totals)
    return Codes(totals[0], layer.unit(), values)


def convolve(layer: ApproxConv2d, images: Codes) -> tuple[Codes, tuple[int, int]]:
    """Accumulators [B, H' * W', N] of images' codes [B, C, H, W], and the map's height and width."""
    padded = images.map(lambda part: F.pad(part, layer.margin) if any(layer.margin) else part)
    return accumulate(layer, padded.map(layer.patches)), layer.map_size(padded.codes)


class Requantiser:
    """Accumulators to codes of another scale; the constants are made anew when the scales change."""

    def __init__(self, low: int = -128, high: int = 127) -> None:
        self.low, self.high = low, high
        self.derived: Derived[tuple[Tensor, Tensor]] = Derived()

    def constants(self, scale: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
        """Multiplier and shift int64 [N] or [1]. Raises UserError when no requantiser has the ratio."""
        return self.derived(lambda: self._make(scale, out), scale, out)

    def _make(self, scale: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
        ratio = (scale.double() / out.double()).reshape(-1).cpu().numpy()
        try:
            requant = Requant.from_scale(ratio)
        except ValueError as error:
            raise UserError(f"requantiser: {error}; weights are too large or not finite") from error
        return torch.from_numpy(requant.multiplier).to(scale.device), torch.from_numpy(requant.shift).to(scale.device)

    def requant(self, scale: Tensor, out: Tensor) -> Requant:
        """The contract that it computes, between these scales."""
        multiplier, shift = (part.cpu().numpy() for part in self.constants(scale, out))
        return Requant(multiplier, shift, 0, self.low, self.high)

    def __call__(self, x: Codes, out: Tensor) -> Codes:
        """Codes of scale ``out`` within the range: int8 where that fits, else int32."""
        multiplier, shift = self.constants(x.scale, out)
        codes = requantise(x.codes.long(), multiplier, shift, 0, self.low, self.high, where)
        codes = codes.to(torch.int8 if self.low >= -128 and self.high <= 127 else torch.int32)
        reference = None if x.values is None else clamp_values(x.values, out, self.low, self.high)
        return straight_through(reference, codes, out)


def clamp_values(values: Tensor, scale: Tensor, low: int, high: int) -> Tensor:
    """Values limited to what codes of this scale can hold; the gradient is zero beyond."""
    bounds = scale.detach()
    return torch.minimum(torch.maximum(values, low * bounds), high * bounds)


def add(x: Codes, branch: Codes) -> Codes:
    """Saturating sum of two int16 streams of one scale."""
    codes = residual.total(x.codes, branch.codes, where)
    values = None if x.values is None or branch.values is None else x.values + branch.values
    reference = None if values is None else clamp_values(values, x.scale, *RESIDUAL_RANGE)
    return straight_through(reference, codes, x.scale)


def constant(parameter: Tensor, scale: Tensor) -> Tensor:
    """int32 codes of a float parameter, such as position embeddings, in the residual stream's scale.

    Raises UserError when the stream cannot hold one, or it is no number.
    """
    codes = torch.round(parameter.detach() / scale)
    if not bool(((codes >= RESIDUAL_RANGE[0]) & (codes <= RESIDUAL_RANGE[1])).all()):
        raise UserError("an embedding is not finite, or leaves the int16 residual stream; convert the model anew")
    return codes.int()


def token_mean(x: Codes, tokens: int) -> Codes:
    """Mean of the stream over its second dimension [B, T, D] -> [B, D], rounded half up."""
    found = Requant.from_scale(np.array([1 / tokens]))
    multiplier, shift = int(found.multiplier[0]), int(found.shift[0])
    codes = requantise(x.codes.long().sum(1), multiplier, shift, 0, *RESIDUAL_RANGE, where).int()
    return straight_through(None if x.values is None else x.values.mean(1), codes, x.scale)


def half_sum(one: Codes, other: Codes) -> Codes:
    """Mean of two codes of one scale, rounded half up."""
    codes = (one.codes + other.codes + 1) >> 1
    values = None if one.values is None or other.values is None else (one.values + other.values) / 2
    return straight_through(values, codes, one.scale)
