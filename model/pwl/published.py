"""Tables in the published form of GQA-LUT: real numbers, a set of breakpoints for every input scale."""

from typing import Any

import numpy as np

from slipstick.errors import UserError
from slipstick.rtl.spec.pwl import PwlFormat, PwlTable
from slipstick.rtl.spec.widths import signed_width

from .curve import PwlCurve
from .functions import FUNCTIONS

NAMES = {"reci": "reciprocal", "sqrt_reci": "rsqrt"} | {name: name for name in FUNCTIONS}
"""Published names, and ours."""
MAX_FRACTION = 24


def is_published(data: Any) -> bool:
    """Whether JSON data has the published form: one function, its input scales as keys."""
    return isinstance(data, dict) and len(data) == 1 and isinstance(next(iter(data.values())), dict)


def from_published(data: Any) -> dict[int, PwlCurve]:
    """Curves by d of input scale 2^-d, from ``{function: {"d": {"breakpoints", "slopes", "intercepts"}}}``.

    Coefficients get 6 fraction bits in 8 where they fit, more bits where they need them. Raises UserError for data of
    another form, unknown functions, and coefficients that are no fixed-point numbers.
    """
    if not is_published(data):
        raise UserError("not a published table: one function with its input scales is expected")
    name, scales = next(iter(data.items()))
    if name not in NAMES:
        raise UserError(f"published table of {name!r}: known are {', '.join(sorted(NAMES))}")
    try:
        curves = {int(key): _curve(NAMES[name], one) for key, one in scales.items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"published table of {name!r}: {type(error).__name__} {error}") from error
    if not curves:
        raise UserError(f"published table of {name!r} has no input scale")
    return curves


def table_at(curves: dict[int, PwlCurve], input_fraction: int, input_width: int = 8) -> PwlTable:
    """Table of input scale 2^-``input_fraction``, from the curve of that scale or else of the finest one."""
    return curves.get(input_fraction, curves[max(curves)]).at_scale(input_fraction, input_width)


def _curve(function: str, one: dict[str, Any]) -> PwlCurve:
    slopes, intercepts = (np.array([float(value) for value in one[kind]]) for kind in ("slopes", "intercepts"))
    fraction = 6
    while not all(np.array_equal(np.rint(part), part) for part in (slopes * 2**fraction, intercepts * 2**fraction)):
        fraction += 1
        if fraction > MAX_FRACTION:
            raise UserError(
                f"published table of {function!r}: coefficients need more than {MAX_FRACTION} fraction bits"
            )
    codes = [tuple(int(code) for code in part * 2**fraction) for part in (slopes, intercepts)]
    widths = [max(8, signed_width(min(part, default=0), max(part, default=0))) for part in codes]
    breakpoints = tuple(float(point) for point in one["breakpoints"])
    return PwlCurve(function, breakpoints, codes[0], codes[1], PwlFormat(widths[0], widths[1], fraction))
