"""Softmax from attention's accumulators to probability codes."""

import torch
from torch import Tensor, nn

from slipstick.errors import UserError
from slipstick.rtl.spec.fixed import Requant
from slipstick.rtl.spec.pwl import PwlTable
from slipstick.rtl.spec.softmax import SoftmaxSpec

from ..layers.derived import Derived
from .codes import TORCH, Codes, straight_through


class IntegerSoftmax(nn.Module):
    """Rows of accumulators [..., T] to probabilities of scale 2^-``fraction``, int8: ``rtl.spec.softmax``.

    ``factor`` multiplies the logits first, as ``head_dim ** -0.5`` does.
    """

    def __init__(self, factor: float, exponential: PwlTable, reciprocal: PwlTable, fraction: int) -> None:
        super().__init__()
        self.factor, self.exponential, self.reciprocal, self.fraction = factor, exponential, reciprocal, fraction
        self.derived: Derived[SoftmaxSpec] = Derived()
        self.length = 0

    def spec(self, scale: Tensor, length: int) -> SoftmaxSpec:
        """The integer constants for accumulators of this scale in rows of at most ``length``."""
        if length > self.length:
            self.length, self.derived = length, Derived()
        return self.derived(lambda: self._make(scale), scale)

    def _make(self, scale: Tensor) -> SoftmaxSpec:
        ratio = scale.double().reshape(-1).cpu().numpy() * self.factor * 2.0**self.exponential.input_fraction
        try:
            requant = Requant.from_scale(ratio)
        except ValueError as error:
            raise UserError(f"softmax: {error}; the weights before it are too large") from error
        multiplier, shift = int(requant.multiplier[0]), int(requant.shift[0])
        return SoftmaxSpec(multiplier, shift, self.exponential, self.reciprocal, self.length, self.fraction)

    def forward(self, x: Codes, out: Tensor) -> Codes:
        """Accumulators [..., T] -> int8 codes [..., T] of scale ``out``, which is 2^-``fraction``."""
        codes = self.spec(x.scale, x.codes.shape[-1])(x.codes.long(), TORCH).to(torch.int8)
        reference = None if x.values is None else (x.values * self.factor).softmax(-1)
        return straight_through(reference, codes, out)
