"""Tables for tests of hardware: chords of a function through equidistant breakpoints."""

import math
from collections.abc import Callable

import numpy as np

from slipstick.rtl.spec.pwl import PwlFormat, PwlTable
from slipstick.rtl.spec.widths import signed_range

FUNCTIONS: dict[str, tuple[Callable[[float], float], float, float]] = {
    "gelu": (lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2, -4, 4),
    "hswish": (lambda x: x * min(max(x + 3, 0), 6) / 6, -4, 4),
    "silu": (lambda x: x / (1 + math.exp(-x)), -6, 6),
    "sigmoid": (lambda x: 1 / (1 + math.exp(-x)), -6, 6),
    "tanh": (math.tanh, -3, 3),
    "exp": (math.exp, -8, 0),
    "reciprocal": (lambda x: 1 / x, 0.5, 4),
    "rsqrt": (lambda x: x**-0.5, 0.25, 4),
}
SCALES = range(7)  # codes of scale 2^-d, d = 0 to 6


def chords(function: str, input_fraction: int, entries: int, input_width: int = 8) -> PwlTable:
    """A table of ``entries`` chords between equidistant points of the function's range."""
    compute, low, high = FUNCTIONS[function]
    points = np.linspace(low, high, entries + 1)
    values = [compute(point) for point in points]
    slopes = np.diff(values) / np.diff(points)
    intercepts = values[:-1] - slopes * points[:-1]
    fraction = 6 - max(0, math.ceil(math.log2(max(np.abs(slopes).max(), np.abs(intercepts).max(), 1.0) + 0.02)) - 1)
    lowest, highest = signed_range(input_width)
    breakpoints = np.clip(np.ceil(points[1:-1] * 2**input_fraction), lowest, highest).astype(int)
    codes = [tuple(np.rint(part * 2**fraction).astype(int).tolist()) for part in (slopes, intercepts)]
    return PwlTable(
        function, input_fraction, tuple(breakpoints.tolist()), *codes, PwlFormat(8, 8, fraction), input_width
    )  # fmt: skip
