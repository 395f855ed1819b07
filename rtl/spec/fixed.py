"""Rounding, saturation and requantisation, written once.

The functions need only ``+ - * << >> <`` and a multiplexer, so the same lines serve Python integers,
NumPy, torch and Amaranth values; pass the multiplexer of the kind at hand.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Mux = Callable[[Any, Any, Any], Any]
MULTIPLIER_BITS, SHIFT_BITS = 16, 6
MAX_SHIFT = (1 << SHIFT_BITS) - 1


def choose(condition: Any, when_true: Any, when_false: Any) -> Any:
    """Multiplexer for Python integers."""
    return when_true if condition else when_false


def round_shift(value: Any, shift: Any) -> Any:
    """``value / 2^shift`` rounded half up: ``(value + 2^(shift - 1)) >> shift``; ``shift`` >= 1.

    Written without ``shift - 1``, which hardware would read as a number that can be negative; so
    ``2 * value`` must fit the type at hand.
    """
    return (((value << 1) >> shift) + 1) >> 1


def saturate(value: Any, low: Any, high: Any, mux: Mux = choose) -> Any:
    """``value`` limited to ``[low, high]``."""
    return mux(value < low, low, mux(value > high, high, value))


def requantise(
    accumulator: Any, multiplier: Any, shift: Any, zero: int = 0, low: int = -128, high: int = 127, mux: Mux = choose
) -> Any:
    """``clamp(round_shift(accumulator * multiplier, shift) + zero, low, high)``."""
    return saturate(round_shift(accumulator * multiplier, shift) + zero, low, high, mux)


@dataclass(frozen=True)
class Requant:
    """Requantisation of N output channels: ``multiplier`` int64 [N], ``shift`` int64 [N].

    ``multiplier`` < 2^MULTIPLIER_BITS and 1 <= ``shift`` <= MAX_SHIFT.
    """

    multiplier: np.ndarray
    shift: np.ndarray
    zero: int = 0
    low: int = -128
    high: int = 127

    def __post_init__(self) -> None:
        fits = (self.multiplier >= 0).all() and (self.multiplier < 1 << MULTIPLIER_BITS).all()
        if not fits or (self.shift < 1).any() or (self.shift > MAX_SHIFT).any():
            raise ValueError(f"requantiser out of range: multiplier {self.multiplier}, shift {self.shift}")

    @classmethod
    def from_scale(cls, scale: np.ndarray, low: int = -128, high: int = 127) -> "Requant":
        """The closest ``multiplier / 2^shift`` to every positive ``scale`` [N], normalised to full precision."""
        pairs = [_dyadic(float(value)) for value in np.atleast_1d(scale)]
        multiplier, shift = (np.array(column, np.int64) for column in zip(*pairs, strict=True))
        return cls(multiplier, shift, 0, low, high)

    def __call__(self, accumulators: np.ndarray) -> np.ndarray:
        """Requantise int [..., N] to int64 [..., N]."""
        return requantise(
            accumulators.astype(np.int64), self.multiplier, self.shift, self.zero, self.low, self.high, np.where
        )


def _dyadic(scale: float) -> tuple[int, int]:
    if not (scale > 0 and math.isfinite(scale)):
        raise ValueError(f"a requantisation scale must be positive and finite, not {scale}")
    mantissa, exponent = math.frexp(scale)
    multiplier, shift = round(math.ldexp(mantissa, MULTIPLIER_BITS)), MULTIPLIER_BITS - exponent
    if multiplier == 1 << MULTIPLIER_BITS:
        multiplier, shift = multiplier >> 1, shift - 1
    if shift > MAX_SHIFT:  # smaller than any product can show
        multiplier, shift = multiplier >> min(shift - MAX_SHIFT, MULTIPLIER_BITS), MAX_SHIFT
    if shift < 1:
        raise ValueError(f"a requantisation scale of {scale} is too large for {MULTIPLIER_BITS} bits")
    return multiplier, shift
