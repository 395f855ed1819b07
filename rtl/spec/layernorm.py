"""Integer LayerNorm of a row: mean, sum of squares, reciprocal square root of its mantissa, gain and bias.

The reciprocal square root is piecewise linear (GQA-LUT) and sees only [1, 4), because an even power of
two of the sum becomes a shift. The row's length enters through constants alone.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from slipstick.errors import UserError

from .fixed import MULTIPLIER_BITS, Requant, round_shift, saturate
from .pwl import PwlTable
from .rows import NUMPY, ArrayKind, leading_one
from .widths import signed_width

INPUT_WIDTH = 16
BIAS_BITS = 46
UNIT_FRACTION = 15  # of a deviation over the square root of the sum of squares, which is at most 1


@dataclass(frozen=True, eq=False)
class LayerNormSpec:
    """LayerNorm of rows of D int16 codes: output code i is ``round_shift(unit * gain[i] + bias[i], shift)``.

    ``unit`` int16 is the deviation from the mean over the root of the summed squares. ``gain`` int64 [D] of
    MULTIPLIER_BITS signed bits, ``bias`` int64 [D], ``epsilon`` >= 1 in units of a squared code, summed over
    D. Raises UserError for constants out of range and tables that do not cover [1, 4).
    """

    gain: np.ndarray
    bias: np.ndarray
    shift: int
    epsilon: int
    root: PwlTable
    low: int = -128
    high: int = 127

    def __post_init__(self) -> None:
        limit = 1 << (MULTIPLIER_BITS - 1)
        if self.gain.shape != self.bias.shape or self.gain.ndim != 1 or np.abs(self.gain).max() >= limit:
            raise UserError(f"LayerNorm: gains must be [D] of {MULTIPLIER_BITS} bits, like the biases")
        if self.epsilon < 1 or not 1 <= self.shift < 48 or np.abs(self.bias).max() >= 1 << BIAS_BITS:
            raise UserError(f"LayerNorm: epsilon {self.epsilon}, shift {self.shift} or a bias is out of range")
        if self.root.input_fraction + 2 >= self.root.input_width:
            raise UserError("LayerNorm: the reciprocal square root's input cannot hold mantissas up to 4")

    @classmethod
    def from_float(
        cls, weight: np.ndarray, bias: np.ndarray, epsilon: float, scale: float, out: float, root: PwlTable,
        low: int = -128, high: int = 127,
    ) -> "LayerNormSpec":  # fmt: skip
        """Constants for float gains and biases [D], input scale ``scale`` and output scale ``out``."""
        dim = len(weight)
        wanted = weight.astype(np.float64) * math.sqrt(dim) / out * 2.0**-UNIT_FRACTION
        largest = float(np.abs(wanted).max()) or 1.0
        shift = MULTIPLIER_BITS - 2 - math.floor(math.log2(largest))
        reach = float(np.abs(bias).max()) / out  # beside biases this large smaller gains lose nothing that can be seen
        if reach > 0:
            shift = min(shift, BIAS_BITS - 1 - math.ceil(math.log2(reach)))
        shift = min(max(shift, 1), 47)
        if np.rint(largest * 2.0**shift) >= 1 << (MULTIPLIER_BITS - 1):
            shift -= 1
        gains, biases = (
            np.rint(part * 2.0**shift).astype(np.int64) for part in (wanted, bias.astype(np.float64) / out)
        )
        return cls(gains, biases, shift, max(1, round(dim * epsilon / scale**2)), root, low, high)

    @property
    def dim(self) -> int:
        """D, the length of a row."""
        return len(self.gain)

    @property
    def mean_requant(self) -> tuple[int, int]:
        """Multiplier and shift whose quotient is 1 / D."""
        found = Requant.from_scale(np.array([1 / self.dim]))
        return int(found.multiplier[0]), int(found.shift[0])

    @property
    def sum_width(self) -> int:
        """Bits of the sum of a row."""
        edge = self.dim << (INPUT_WIDTH - 1)
        return signed_width(-edge, edge)

    @property
    def square_width(self) -> int:
        """Bits of the summed squares, which have no sign: deviations have INPUT_WIDTH + 1 bits."""
        return ((self.dim << (2 * INPUT_WIDTH)) + self.epsilon).bit_length()

    def mean(self, total: Any) -> Any:
        """Mean code of a row, from its sum."""
        return self.rounded_mean(total * self.mean_requant[0])

    def rounded_mean(self, product: Any) -> Any:
        """Mean code, from the sum times the multiplier of ``mean_requant``."""
        return round_shift(product, self.mean_requant[1])

    def mantissa(self, squares: Any, half: Any) -> Any:
        """``squares / 4^half``, in [1, 4), as a code for the reciprocal square root."""
        return (squares << self.root.input_fraction) >> (half + half)

    def unit(self, deviation: Any, root: Any, half: Any, mux: Any) -> Any:
        """Deviation over the root of the summed squares, int16 with UNIT_FRACTION fraction bits."""
        return self.rounded_unit(deviation * root, half, mux)

    def rounded_unit(self, product: Any, half: Any, mux: Any) -> Any:
        """Unit of a deviation times the reciprocal root."""
        code = round_shift(product << UNIT_FRACTION, half + self.root.fraction)
        return saturate(code, -(1 << 15), (1 << 15) - 1, mux)

    def output(self, unit: Any, gain: Any, bias: Any, mux: Any) -> Any:
        """Output code of a unit, with its channel's gain and bias."""
        return self.rounded_output(unit * gain + bias, mux)

    def rounded_output(self, total: Any, mux: Any) -> Any:
        """Output code of a unit times its gain plus its bias."""
        return saturate(round_shift(total, self.shift), self.low, self.high, mux)

    def __call__(self, rows: Any, kind: ArrayKind = NUMPY, gain: Any = None, bias: Any = None) -> Any:
        """int64 codes [..., D] -> int64 codes [..., D]; ``gain``, ``bias`` in the array library at hand."""
        deviation = rows - self.mean(kind.total(rows))
        squares = kind.total(deviation * deviation) + self.epsilon
        half = leading_one(squares, self.square_width, kind.mux) >> 1
        root = kind.results(self.root, self.mantissa(squares, half))
        unit = self.unit(deviation, root, half, kind.mux)
        return self.output(unit, self.gain if gain is None else gain, self.bias if bias is None else bias, kind.mux)
