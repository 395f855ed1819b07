"""The best piecewise linear table that its storage allows: least squares on the coefficients' own grid.

Segments need not meet. Their ends are found by dynamic programming over the input codes themselves, and every
segment's cost is the least over all slopes and intercepts of the format: nothing is rounded afterwards.
"""

from dataclasses import dataclass

import numpy as np

from slipstick.errors import UserError
from slipstick.rtl.spec.pwl import PwlFormat, PwlTable, check_coefficients, signed_range

from .curve import Q1_6, PwlCurve
from .functions import Function, named
from .segments import all_costs, best_starts, lines_of

MAX_SAMPLES = 4096
LOSS = 1.25  # what codes outside the published range may cost the error inside it
OUTSIDE = (*(10.0**-power for power in range(9)), 1e-12)  # weights of a code outside, against 1 inside
UNSEEN = 1e-6  # weight of a code that a histogram lacks, against its mean
FINE = 256  # samples that stand for the published range as a whole
ROUNDING = 1 / 12  # mean squared error of rounding to the coefficients' last bit
CLIPPED = 2.0  # a format that makes errors this much larger cannot hold the function


@dataclass(frozen=True)
class Samples:
    """Inputs ``x`` ascending, values ``y`` in units of the coefficients' last bit, ``weights`` > 0: float64 [n]."""

    x: np.ndarray
    y: np.ndarray
    weights: np.ndarray

    def errors(self, starts: list[int], slopes: list[int], intercepts: list[int]) -> np.ndarray:
        """Squared errors float64 [n] of a cut into segments, in squared units of the last bit."""
        segment = np.searchsorted(starts, np.arange(len(self.x)), side="right") - 1
        return (np.array(slopes)[segment] * self.x + np.array(intercepts)[segment] - self.y) ** 2


Cut = tuple[list[int], list[int], list[int]]
"""First samples, slope codes and intercept codes of segments."""


def fit(
    function: Function | str,
    entries: int,
    input_fraction: int,
    format: PwlFormat = Q1_6,
    input_width: int = 8,
    weights: np.ndarray | None = None,
    low: int | None = None,
    high: int | None = None,
) -> PwlTable:
    """The table of at most ``entries`` segments of least weighted squared error over its input codes.

    Codes outside the function's domain and codes where it is not finite take no part. By default a code inside the
    published range weighs 1 and one outside as much, at most 1, as leaves the mean squared error inside below LOSS
    times the least that is possible, over these codes or the range as a whole: so a GELU of 30 is 30, and the
    published range does not pay for a function that the format could not follow outside it. ``low`` and ``high``
    (codes, both included) restrict the fit to codes that then all weigh 1, such as mantissas. ``weights`` float [n], of
    the codes from ``low`` to ``high``, such as a recorded histogram, replaces all of this; codes it lacks weigh UNSEEN.

    Raises UserError for fewer than 2 entries, a function that is not finite in its range, weights that are none, and a
    format that cannot hold the function (naming the widths that would).
    """
    function = named(function)
    if entries < 2:
        raise UserError(f"a table has 2 entries or more, not {entries}")
    edges = signed_range(input_width)
    first, last = edges[0] if low is None else low, edges[1] if high is None else high
    if not edges[0] <= first <= last <= edges[1]:
        raise UserError(f"codes {first} to {last} are not {input_width}-bit input codes")
    codes = np.arange(first, last + 1)
    inputs = codes * 2.0**-input_fraction
    values = function(inputs)
    whole = low is None and high is None and weights is None
    judged = function.inside(inputs) if whole else _within(function, inputs)
    taken = _within(function, inputs) & np.isfinite(values)
    _check_finite(function, inputs[judged & ~taken])
    if not judged.any():
        raise UserError(f"no input code of scale 2^-{input_fraction} lies in the range of {function.name!r}")
    if taken.sum() > MAX_SAMPLES:
        raise UserError(f"{taken.sum()} input codes are too many to fit exactly; give low and high, or fewer bits")
    weighed = np.ones(len(codes)) if weights is None else _histogram(weights, codes[~taken], codes)
    samples = Samples(inputs[taken], values[taken] * 2.0**format.fraction, weighed[taken])
    judged = judged[taken]
    inside = Samples(*(part[judged] for part in vars(samples).values()))
    cut = _best(inside, entries, format)
    _check_format(function, inside, cut, entries, format)
    if not judged.all():
        cut = _with_outside(function, samples, judged, cut, entries, format)
    starts, slopes, intercepts = _padded(cut, entries)
    return PwlTable(
        function.name, input_fraction, tuple(int(codes[taken][start]) for start in starts[1:]), tuple(slopes),
        tuple(intercepts), format, input_width,
    )  # fmt: skip


def fit_float(function: Function | str, entries: int, format: PwlFormat = Q1_6) -> PwlCurve:
    """The curve of at most ``entries`` segments of least squared error over the function's published sample points.

    Breakpoints are sample points. Raises UserError like ``fit``.
    """
    function = named(function)
    if entries < 2:
        raise UserError(f"a table has 2 entries or more, not {entries}")
    grid = function.grid
    if len(grid) > MAX_SAMPLES:
        raise UserError(f"function {function.name!r}: {len(grid)} sample points are too many; give a larger step")
    samples = Samples(grid, function(grid) * 2.0**format.fraction, np.ones(len(grid)))
    cut = _best(samples, entries, format)
    _check_format(function, samples, cut, entries, format)
    starts, slopes, intercepts = _padded(cut, entries)
    breakpoints = tuple(float(grid[start]) for start in starts[1:])
    return PwlCurve(function.name, breakpoints, tuple(slopes), tuple(intercepts), format)


def _best(samples: Samples, entries: int, form: PwlFormat) -> Cut:
    parts = samples.x, samples.y, samples.weights
    starts = best_starts(all_costs(*parts, form), entries)
    return starts, *lines_of(*parts, starts, form)


def _with_outside(
    function: Function, samples: Samples, judged: np.ndarray, inside: Cut, entries: int, form: PwlFormat
) -> Cut:
    """The cut of all codes with the largest weight outside that the published range can bear."""
    x = np.linspace(function.low, function.high, FINE)
    fine = Samples(x, function(x) * 2.0**form.fraction, np.ones(FINE))
    only = Samples(*(part[judged] for part in vars(samples).values()))
    allowed = LOSS * max(only.errors(*inside).mean(), fine.errors(*_best(fine, entries, form)).mean())
    reach = form.slope_range[1] * np.abs(samples.x) + form.intercept_range[1]  # what no line passes is not asked for
    y = np.where(judged, samples.y, np.clip(samples.y, -reach, reach))
    for weight in OUTSIDE:
        cut = _best(Samples(samples.x, y, np.where(judged, 1.0, weight)), entries, form)
        if samples.errors(*cut)[judged].mean() <= allowed:
            break
    return cut


def _within(function: Function, inputs: np.ndarray) -> np.ndarray:
    return (inputs >= function.domain[0]) & (inputs <= function.domain[1])


def _check_finite(function: Function, missing: np.ndarray) -> None:
    if missing.size:
        raise UserError(f"function {function.name!r} is not finite at {missing[0]:g}")


def _histogram(weights: np.ndarray, impossible: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Weights of codes with mean 1 where there are any, and UNSEEN more."""
    weights = np.asarray(weights, np.float64)
    if weights.shape != codes.shape or not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        raise UserError(f"weights must be {len(codes)} finite numbers >= 0, not all 0: one for each code")
    if weights[np.isin(codes, impossible)].any():
        raise UserError(f"weights count input codes outside the function's domain, such as {impossible[0]}")
    return weights / weights[weights > 0].mean() + UNSEEN


def _check_format(function: Function, samples: Samples, cut: Cut, entries: int, form: PwlFormat) -> None:
    """UserError if wider coefficients of the same fraction would be much better; their widths are named."""
    error = np.average(samples.errors(*cut), weights=samples.weights)
    touched = {*form.slope_range} & {*cut[1]} or {*form.intercept_range} & {*cut[2]}
    if error <= ROUNDING or not touched:
        return
    wide = PwlFormat(min(form.slope_width + 8, 32), min(form.intercept_width + 8, 32), form.fraction)
    free = _best(samples, entries, wide)
    if error > CLIPPED * np.average(samples.errors(*free), weights=samples.weights) + ROUNDING:
        check_coefficients(function.name, free[1], free[2], form)


def _padded(cut: Cut, entries: int) -> Cut:
    """The cut with empty segments in front where there are fewer samples than entries."""
    starts, slopes, intercepts = cut
    if len(starts) == 1:
        starts, slopes, intercepts = starts * 2, slopes * 2, intercepts * 2
    extra = entries - len(starts)
    return (
        [starts[0], *starts[1:2] * extra, *starts[1:]],
        [slopes[0], *slopes[1:2] * extra, *slopes[1:]],
        [intercepts[0], *intercepts[1:2] * extra, *intercepts[1:]],
    )
