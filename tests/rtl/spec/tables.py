"""Simple piecewise linear tables for tests: chords of a function through breakpoints at equal distances."""

from collections.abc import Callable

import numpy as np

from slipstick.rtl.spec.pwl import PwlFormat, PwlTable


def chords(
    name: str, function: Callable[[np.ndarray], np.ndarray], low: float, high: float, fraction: int, width: int
) -> PwlTable:
    """Eight chords between ``low`` and ``high`` for input codes of scale 2^-``fraction``."""
    ends = np.linspace(low, high, 9)
    values = function(ends)
    slopes = np.diff(values) / np.diff(ends)
    intercepts = values[:-1] - slopes * ends[:-1]
    codes = [tuple(int(x) for x in np.rint(part * 256)) for part in (slopes, intercepts)]
    breakpoints = tuple(int(x) for x in np.ceil(ends[1:-1] * 2.0**fraction))
    return PwlTable(name, fraction, breakpoints, *codes, PwlFormat(11, 11, 8), width)


EXPONENTIAL = chords("exp", np.exp, -8, 0, 4, 8)
RECIPROCAL = chords("reciprocal", lambda x: 1 / x, 1, 2, 8, 10)
ROOT = chords("rsqrt", lambda x: 1 / np.sqrt(x), 1, 4, 8, 11)
