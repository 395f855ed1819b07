"""Piecewise linear functions with real breakpoints, of which every input scale makes its table."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from slipstick.errors import UserError
from slipstick.rtl.spec.pwl import PwlFormat, PwlTable, check_coefficients
from slipstick.rtl.spec.widths import signed_range

from .functions import Function

Q1_6 = PwlFormat()
"""GQA-LUT's own format: int8 with 6 fraction bits."""


@dataclass(frozen=True)
class PwlCurve:
    """N segments: N - 1 ascending real ``breakpoints``; N ``slopes`` and ``intercepts``, codes in ``format``.

    Segment i holds ``breakpoints[i - 1] <= x < breakpoints[i]``. Raises UserError for lengths that disagree,
    breakpoints out of order, and coefficients that the format cannot hold.
    """

    function: str
    breakpoints: tuple[float, ...]
    slopes: tuple[int, ...]
    intercepts: tuple[int, ...]
    format: PwlFormat = Q1_6

    def __post_init__(self) -> None:
        lengths = len(self.slopes), len(self.intercepts), len(self.breakpoints) + 1
        if lengths[0] < 2 or len(set(lengths)) != 1:
            raise UserError(
                f"curve of {self.function!r}: {lengths[0]} slopes, {lengths[1]} intercepts and {lengths[2] - 1} "
                "breakpoints; N >= 2 segments have N, N and N - 1"
            )
        if not np.isfinite(self.breakpoints).all() or (np.diff(self.breakpoints) < 0).any():
            raise UserError(f"curve of {self.function!r}: breakpoints {self.breakpoints} are not ascending")
        check_coefficients(self.function, self.slopes, self.intercepts, self.format)

    @property
    def entries(self) -> int:
        """Segments."""
        return len(self.slopes)

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """Values float64 of real inputs of any shape."""
        segment = np.searchsorted(self.breakpoints, inputs, side="right")
        values = np.array(self.slopes)[segment] * inputs + np.array(self.intercepts)[segment]
        return values * 2.0**-self.format.fraction

    def mse(self, function: Function) -> float:
        """Mean squared error over the function's published sample points."""
        return float(np.mean((self(function.grid) - function(function.grid)) ** 2))

    def at_scale(self, input_fraction: int, input_width: int = 8) -> PwlTable:
        """Table of input scale 2^-``input_fraction``, with the curve's own values at every input code.

        Breakpoints are rounded up and limited to the input codes, as published. Limiting alone would hand the largest
        code to segments that begin beyond it, so these repeat the segment before.
        """
        low, high = signed_range(input_width)
        scaled = np.ceil(np.array(self.breakpoints) * 2.0**input_fraction)
        within = int((scaled <= high).sum())
        slopes, intercepts = (
            codes[: within + 1] + codes[within : within + 1] * (len(scaled) - within)
            for codes in (self.slopes, self.intercepts)
        )
        return PwlTable(
            self.function, input_fraction, tuple(int(code) for code in np.clip(scaled, low, high)), slopes, intercepts,
            self.format, input_width,
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """The curve as plain JSON."""
        lists = {name: list(getattr(self, name)) for name in ("breakpoints", "slopes", "intercepts")}
        return {"function": self.function, "format": asdict(self.format), **lists}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "PwlCurve":
        """The curve of ``to_json``. Raises UserError for missing or wrong fields."""
        try:
            return cls(
                str(data["function"]), tuple(float(point) for point in data["breakpoints"]),
                tuple(int(code) for code in data["slopes"]), tuple(int(code) for code in data["intercepts"]),
                PwlFormat(**{name: int(bits) for name, bits in data["format"].items()}),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"not a piecewise linear curve: {type(error).__name__} {error}") from error


def codes_inside(function: Function, input_fraction: int, input_width: int = 8) -> np.ndarray:
    """Input codes int64 whose value lies in the function's published range, ends included."""
    low, high = signed_range(input_width)
    codes = np.arange(low, high + 1)
    return codes[function.inside(codes * 2.0**-input_fraction)]


def mse_of_codes(table: PwlTable, function: Function) -> float:
    """Mean squared error over the input codes inside the published range, results not rounded.

    Raises UserError where no code is inside.
    """
    codes = codes_inside(function, table.input_fraction, table.input_width)
    if not codes.size:
        raise UserError(f"no input code of scale 2^-{table.input_fraction} lies in the range of {function.name!r}")
    return float(np.mean((table.values(codes) - function(codes * 2.0**-table.input_fraction)) ** 2))
