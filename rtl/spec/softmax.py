"""Integer softmax of a row: largest taken off, exponential, sum, reciprocal of the sum's mantissa.

Both functions are piecewise linear (GQA-LUT); the reciprocal sees only [1, 2), because the sum's leading
one becomes a shift.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from slipstick.errors import UserError

from .fixed import MAX_SHIFT, MULTIPLIER_BITS, round_shift, saturate
from .pwl import PwlTable
from .rows import NUMPY, ArrayKind, leading_one


@dataclass(frozen=True)
class SoftmaxSpec:
    """Softmax of rows of at most ``length`` accumulators, as probability codes 0 to ``high`` of scale 2^-``fraction``.

    ``multiplier`` / 2^``shift`` turns accumulators into input codes of ``exponential``, which are never
    positive; ``reciprocal`` takes mantissas [1, 2). Raises UserError for tables with which a row could
    have no positive sum, or a mantissa no reciprocal.
    """

    multiplier: int
    shift: int
    exponential: PwlTable
    reciprocal: PwlTable
    length: int
    fraction: int = 7
    high: int = 127

    def __post_init__(self) -> None:
        if not 0 < self.multiplier < 1 << MULTIPLIER_BITS or not 1 <= self.shift <= MAX_SHIFT or self.length < 1:
            raise UserError(f"softmax: multiplier {self.multiplier}, shift {self.shift}, length {self.length}")
        if self.exponential(0) < 1:
            raise UserError("softmax: the exponential of 0 is not positive, so a row could sum to nothing")
        if self.mantissa_fraction + 1 >= self.reciprocal.input_width:
            raise UserError("softmax: the reciprocal's input cannot hold mantissas up to 2")
        if self.exponential(0).bit_length() - 1 + self.reciprocal.fraction <= self.fraction:
            raise UserError(f"softmax: {self.fraction} fraction bits are more than its products have")

    @property
    def mantissa_fraction(self) -> int:
        """Fraction bits of the sum's mantissa."""
        return self.reciprocal.input_fraction

    @property
    def exponential_width(self) -> int:
        """Bits of an exponential, which has no sign."""
        low, _ = self.exponential.input_range
        return int(self.exponential.results[: -low + 1].max()).bit_length()

    @property
    def sum_width(self) -> int:
        """Bits of the sum of a row, proved by its length."""
        return (self.length * ((1 << self.exponential_width) - 1)).bit_length()

    def input_code(self, accumulator: Any, largest: Any, mux: Any) -> Any:
        """Code of ``accumulator`` less the row's largest for the exponential: at most 0."""
        return self.rounded_code((accumulator - largest) * self.multiplier, mux)

    def rounded_code(self, product: Any, mux: Any) -> Any:
        """Code of an accumulator, less the largest and times the multiplier."""
        return saturate(round_shift(product, self.shift), self.exponential.input_range[0], 0, mux)

    def mantissa(self, total: Any, place: Any) -> Any:
        """Bits of the sum below and with its leading one at ``place``, as a code in [1, 2)."""
        return (total << self.mantissa_fraction) >> place

    def probability(self, exponential: Any, reciprocal: Any, place: Any, mux: Any) -> Any:
        """Probability code of an exponential, given the reciprocal of its sum's mantissa."""
        return self.rounded_probability(exponential * reciprocal, place, mux)

    def rounded_probability(self, product: Any, place: Any, mux: Any) -> Any:
        """Probability code of an exponential times the reciprocal."""
        shift = place + (self.reciprocal.fraction - self.fraction)
        return saturate(round_shift(product, shift), 0, self.high, mux)

    def __call__(self, rows: Any, kind: ArrayKind = NUMPY) -> Any:
        """Accumulators int64 [..., T] -> probability codes int64 [..., T]."""
        codes = self.input_code(rows, kind.largest(rows), kind.mux)
        exponentials = kind.results(self.exponential, codes)
        exponentials = kind.mux(exponentials < 0, 0 * exponentials, exponentials)
        total = kind.total(exponentials)
        place = leading_one(total, self.sum_width, kind.mux)
        reciprocal = kind.results(self.reciprocal, self.mantissa(total, place))
        return self.probability(exponentials, reciprocal, place, kind.mux)

    def reference(self, rows: np.ndarray, scale: float) -> np.ndarray:
        """What the codes stand for: float64 softmax of accumulators of this scale, [..., T]."""
        logits = rows * scale
        weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return weights / weights.sum(axis=-1, keepdims=True)
