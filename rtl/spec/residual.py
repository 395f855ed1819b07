"""The residual stream: int16 codes to which requantised accumulators are added, nothing ever wrapping."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from slipstick.errors import UserError

from .fixed import MAX_SHIFT, MULTIPLIER_BITS, Mux, choose, round_shift, saturate
from .widths import signed_range

LOW, HIGH = signed_range(16)


def residual(x: Any, accumulator: Any, multiplier: Any, shift: Any, mux: Mux = choose) -> Any:
    """``saturate(x + requantise(accumulator, multiplier, shift, 0, LOW, HIGH), LOW, HIGH)``."""
    return total(x, step(accumulator * multiplier, shift, mux), mux)


def step(product: Any, shift: Any, mux: Mux = choose) -> Any:
    """What is added: an accumulator times its multiplier, rounded and limited to int16."""
    return saturate(round_shift(product, shift), LOW, HIGH, mux)


def total(x: Any, step: Any, mux: Mux = choose) -> Any:
    """The sum, limited to int16."""
    return saturate(x + step, LOW, HIGH, mux)


@dataclass(frozen=True, eq=False)
class ResidualSpec:
    """Requantisation of a residual branch: ``multiplier``, ``shift`` int64 [N], for N channels or, N = 1, for all.

    Raises UserError for constants out of range.
    """

    multiplier: np.ndarray
    shift: np.ndarray

    def __post_init__(self) -> None:
        fits = (self.multiplier >= 0).all() and (self.multiplier < 1 << MULTIPLIER_BITS).all()
        if self.multiplier.shape != self.shift.shape or self.multiplier.ndim != 1 or not len(self.shift) or not fits:
            raise UserError(f"residual: multipliers and shifts must be [N], multipliers of {MULTIPLIER_BITS} bits")
        if (self.shift < 1).any() or (self.shift > MAX_SHIFT).any():
            raise UserError(f"residual: shifts are 1 to {MAX_SHIFT}")

    @property
    def channels(self) -> int:
        """N."""
        return len(self.shift)

    def __call__(self, x: Any, accumulators: Any, mux: Mux = np.where) -> Any:
        """int16 codes and accumulators, int64 [..., D] -> int64 codes [..., D]."""
        return residual(x, accumulators, self.multiplier, self.shift, mux)
