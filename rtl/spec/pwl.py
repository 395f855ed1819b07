"""Piecewise linear functions on integer codes: the table, its evaluation and its exact ranges, written once.

The form is that of GQA-LUT (Dong et al., DAC 2024): with an input code ``q`` of scale 2^-d, a segment's
slope ``k`` and intercept ``b`` of f fraction bits each, ``f(q * 2^-d) ~ (k * q + (b << d)) * 2^-(f + d)``.
Segment i holds ``breakpoints[i - 1] <= q < breakpoints[i]``; the outer ones go on without end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from slipstick.errors import UserError
from slipstick.limits import Limits, check_fields

from .fixed import Mux, choose
from .widths import signed_range, signed_width

MAX_INPUT_WIDTH = 16
WIDTH, FRACTION = Limits(2, 32), Limits(0, 24)  # bits of coefficients


def segment(code: Any, breakpoints: Sequence, slopes: Sequence, intercepts: Sequence, mux: Mux) -> tuple[Any, Any]:
    """Slope and intercept of the code's segment; ``breakpoints`` ascend, constants or values alike.

    A balanced tree: hardware compares with all breakpoints at once and passes log2 N multiplexers.
    """
    if len(slopes) == 1:
        return slopes[0], intercepts[0]
    middle = len(slopes) // 2
    beyond = code >= breakpoints[middle - 1]
    left = segment(code, breakpoints[: middle - 1], slopes[:middle], intercepts[:middle], mux)
    right = segment(code, breakpoints[middle:], slopes[middle:], intercepts[middle:], mux)
    return mux(beyond, right[0], left[0]), mux(beyond, right[1], left[1])


def line(code: Any, slope: Any, intercept: Any, input_fraction: Any) -> Any:
    """The result ``slope * code + (intercept << input_fraction)``."""
    return slope * code + (intercept << input_fraction)


class NarrowFormat(UserError):
    """A format that cannot hold the coefficients of a table."""


@dataclass(frozen=True)
class PwlFormat:
    """Signed fixed point of the coefficients: slopes of ``slope_width`` bits, intercepts of ``intercept_width``.

    Both have ``fraction`` fraction bits. Raises UserError for widths that hold nothing.
    """

    limits: ClassVar[dict[str, Limits]] = {
        "slope_width": WIDTH, "intercept_width": WIDTH, "fraction": FRACTION,
    }  # fmt: skip
    slope_width: int = 8
    intercept_width: int = 8
    fraction: int = 6

    def __post_init__(self) -> None:
        check_fields(self, self.limits, "coefficients' {}".format)

    def __str__(self) -> str:
        whole = self.slope_width - 1 - self.fraction, self.intercept_width - 1 - self.fraction
        return f"slopes Q{whole[0]}.{self.fraction}, intercepts Q{whole[1]}.{self.fraction}"

    @property
    def slope_range(self) -> tuple[int, int]:
        """Least and largest slope, in units of 2^-fraction."""
        return signed_range(self.slope_width)

    @property
    def intercept_range(self) -> tuple[int, int]:
        """Least and largest intercept, in units of 2^-fraction."""
        return signed_range(self.intercept_width)


@dataclass(frozen=True)
class PwlTable:
    """A function of one input scale 2^-``input_fraction`` as N segments of integer coefficients.

    ``breakpoints`` N - 1 input codes of ``input_width`` bits, ascending (equal ones leave a segment empty);
    ``slopes``, ``intercepts`` N codes in ``format``. Results have ``fraction`` fraction bits. Raises
    UserError for lengths that disagree, breakpoints out of order or out of range, and coefficients that
    the format cannot hold (naming the widths that would).
    """

    function: str
    input_fraction: int
    breakpoints: tuple[int, ...]
    slopes: tuple[int, ...]
    intercepts: tuple[int, ...]
    format: PwlFormat = PwlFormat()
    input_width: int = 8

    def __post_init__(self) -> None:
        entries = len(self.slopes)
        if entries < 2 or len(self.intercepts) != entries or len(self.breakpoints) != entries - 1:
            raise UserError(
                f"table of {self.function!r}: {entries} slopes, {len(self.intercepts)} intercepts and "
                f"{len(self.breakpoints)} breakpoints; N >= 2 segments have N, N and N - 1"
            )
        if not 2 <= self.input_width <= MAX_INPUT_WIDTH or not FRACTION.least <= self.input_fraction <= FRACTION.most:
            raise UserError(f"table of {self.function!r}: input of {self.input_width} bits, 2^-{self.input_fraction}")
        low, high = signed_range(self.input_width)
        ordered = all(a <= b for a, b in zip(self.breakpoints, self.breakpoints[1:], strict=False))
        if not ordered or not low <= self.breakpoints[0] <= self.breakpoints[-1] <= high:
            raise UserError(f"table of {self.function!r}: breakpoints {self.breakpoints} are not ascending input codes")
        check_coefficients(self.function, self.slopes, self.intercepts, self.format)

    @property
    def entries(self) -> int:
        """Segments."""
        return len(self.slopes)

    @property
    def fraction(self) -> int:
        """Fraction bits of a result."""
        return self.format.fraction + self.input_fraction

    @property
    def input_range(self) -> tuple[int, int]:
        """Least and largest input code."""
        return signed_range(self.input_width)

    @cached_property
    def results(self) -> np.ndarray:
        """The result of every input code from the least to the largest: int64 [2^input_width]."""
        low, high = self.input_range
        results = self(np.arange(low, high + 1, dtype=np.int64), np.where)
        results.flags.writeable = False
        return results

    @property
    def result_width(self) -> int:
        """Bits of a result: every code of the input is looked at, so none overflows."""
        return signed_width(int(self.results.min()), int(self.results.max()))

    def __call__(self, code: Any, mux: Mux = choose) -> Any:
        """``k * q + (b << d)`` of the code's segment, for whole numbers of the kind that ``mux`` serves."""
        slope, intercept = segment(code, self.breakpoints, self.slopes, self.intercepts, mux)
        return line(code, slope, intercept, self.input_fraction)

    def values(self, codes: np.ndarray) -> np.ndarray:
        """Real results float64 of input codes, any shape."""
        return self.results[np.asarray(codes) - self.input_range[0]] * 2.0**-self.fraction

    def to_json(self) -> dict[str, Any]:
        """The table as plain JSON."""
        return {
            "function": self.function, "input_fraction": self.input_fraction, "input_width": self.input_width,
            "format": vars(self.format), "breakpoints": list(self.breakpoints), "slopes": list(self.slopes),
            "intercepts": list(self.intercepts),
        }  # fmt: skip

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "PwlTable":
        """The table of ``to_json``. Raises UserError for missing or wrong fields."""
        try:
            breakpoints, slopes, intercepts = (
                tuple(int(code) for code in data[name]) for name in ("breakpoints", "slopes", "intercepts")
            )
            return cls(
                str(data["function"]), int(data["input_fraction"]), breakpoints, slopes, intercepts,
                PwlFormat(**{name: int(bits) for name, bits in data["format"].items()}), int(data["input_width"]),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"not a piecewise linear table: {type(error).__name__} {error}") from error


def check_coefficients(function: str, slopes: Sequence[int], intercepts: Sequence[int], form: PwlFormat) -> None:
    """NarrowFormat naming the widths that are needed when a format cannot hold some coefficients."""
    needed = [signed_width(min(codes), max(codes)) for codes in (slopes, intercepts)]
    if needed[0] > form.slope_width or needed[1] > form.intercept_width:
        wide = PwlFormat(max(needed[0], form.slope_width), max(needed[1], form.intercept_width), form.fraction)
        raise NarrowFormat(
            f"table of {function!r}: {form} cannot hold its coefficients; {wide} "
            f"({wide.slope_width} and {wide.intercept_width} bits) would, or fewer fraction bits"
        )
