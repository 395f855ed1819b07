"""The best piecewise linear table that its storage allows: least squares on the coefficients' own grid.

Segments need not meet. Their ends are found by dynamic programming over the input codes themselves, and every
segment's cost is the least over all slopes and intercepts of the format: nothing is rounded afterwards.
"""

from dataclasses import dataclass

import numpy as np

from slipstick.errors import UserError
from slipstick.rtl.spec.pwl import MAX_INPUT_WIDTH, NarrowFormat, PwlFormat, PwlTable, check_coefficients
from slipstick.rtl.spec.widths import signed_range

from .curve import Q1_6, PwlCurve
from .functions import Function, named
from .segments import all_costs, best_starts, lines_of

MAX_SAMPLES = 4096
LOSS = 1.25  # what codes outside the published range may cost the error inside it
LOSS_SEEN = 1.05  # what codes that a histogram lacks may cost the error of those it has
OUTSIDE = (*(10.0**-power for power in range(9)), 1e-12)  # weights tried for such codes, against 1 of the others' mean
FINE = 256  # sample points, about, that stand for the published range as a whole
ROUNDING = 1 / 12  # mean squared error of rounding to the coefficients' last bit
CLIPPED = 2.0  # a format that makes errors this much larger, or values smaller, cannot hold the function


Cut = tuple[list[int], list[int], list[int]]
"""First samples, slope codes and intercept codes of segments."""


@dataclass(frozen=True)
class Samples:
    """Inputs ``x`` ascending, values ``y`` in units of the coefficients' last bit, ``weights`` > 0: float64 [n]."""

    x: np.ndarray
    y: np.ndarray
    weights: np.ndarray

    def pick(self, chosen: np.ndarray) -> "Samples":
        """Some of the samples."""
        return Samples(*(part[chosen] for part in vars(self).values()))

    def error(self, cut: Cut) -> float:
        """Weighted mean squared error of a cut into segments, in squared units of the last bit."""
        starts, slopes, intercepts = cut
        segment = np.searchsorted(starts, np.arange(len(self.x)), side="right") - 1
        errors = np.array(slopes)[segment] * self.x + np.array(intercepts)[segment] - self.y
        return float(np.average(errors**2, weights=self.weights))


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
    the codes from ``low`` to ``high``, such as a recorded histogram, replaces all of this; codes it lacks weigh as much
    as leaves the weighted error of the others below LOSS_SEEN times the least possible, which can be very little: add
    something to every count where such codes must be right too.

    Raises UserError for fewer than 2 entries, a function that is not finite in its range, weights that are none, and a
    format that cannot hold the function (naming the widths that would).
    """
    function = named(function)
    if entries < 2:
        raise UserError(f"a table has 2 entries or more, not {entries}")
    if not 2 <= input_width <= MAX_INPUT_WIDTH:
        raise UserError(f"input codes of {input_width} bits; 2 to {MAX_INPUT_WIDTH} are possible")
    edges = signed_range(input_width)
    first, last = edges[0] if low is None else low, edges[1] if high is None else high
    if not edges[0] <= first <= last <= edges[1]:
        raise UserError(f"codes {first} to {last} are not {input_width}-bit input codes")
    codes = np.arange(first, last + 1)
    inputs = codes * 2.0**-input_fraction
    values = function(inputs)
    possible = (inputs >= function.domain[0]) & (inputs <= function.domain[1])
    weighed = np.ones(len(codes)) if weights is None else _histogram(weights, codes, possible)
    whole = weights is None and low is None and high is None
    judged = function.inside(inputs) if whole else possible & (weighed > 0)
    taken = possible & np.isfinite(values)
    _check_samples(function, inputs, judged, taken, input_fraction)
    codes, judged = codes[taken], judged[taken]
    y = _within_reach(inputs[taken], values[taken] * 2.0**format.fraction, judged, format)
    samples = Samples(inputs[taken], y, weighed[taken])
    inside = samples.pick(judged)
    cut = _best(inside, entries, format)
    _check_format(function, inside, cut, entries, format)
    if not judged.all():
        allowed = LOSS_SEEN * inside.error(cut)
        if whole:
            fine = _range_of(function, format)
            allowed = LOSS * max(inside.error(cut), fine.error(_best(fine, entries, format)))
        cut = _with_outside(samples, judged, allowed, entries, format)
    starts, slopes, intercepts = _padded(cut, entries)
    return PwlTable(
        function.name, int(input_fraction), tuple(int(codes[start]) for start in starts[1:]), tuple(slopes),
        tuple(intercepts), format, int(input_width),
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


def _range_of(function: Function, form: PwlFormat) -> Samples:
    """About FINE samples of the published range."""
    x = function.grid[:: max(1, len(function.grid) // FINE)]
    return Samples(x, function(x) * 2.0**form.fraction, np.ones(len(x)))


def _with_outside(samples: Samples, judged: np.ndarray, allowed: float, entries: int, form: PwlFormat) -> Cut:
    """The cut of all codes, with the largest weight of others that leaves the error of the judged ones as allowed."""
    only = Samples(samples.x, samples.y, np.where(judged, samples.weights, 0))
    for weight in OUTSIDE:
        cut = _best(Samples(samples.x, samples.y, np.where(judged, samples.weights, weight)), entries, form)
        if only.error(cut) <= allowed:
            break
    return cut


def _within_reach(x: np.ndarray, y: np.ndarray, judged: np.ndarray, form: PwlFormat) -> np.ndarray:
    """Values, limited to what some line can pass where they are not judged: more need not be asked for."""
    return np.where(judged, y, np.clip(y, -_reach(x, form), _reach(x, form)))


def _reach(x: np.ndarray, form: PwlFormat) -> np.ndarray:
    """Largest value that a line of the format has at x, in units of the last bit."""
    return form.slope_range[1] * np.abs(x) + form.intercept_range[1]


def _check_samples(
    function: Function, inputs: np.ndarray, judged: np.ndarray, taken: np.ndarray, input_fraction: int
) -> None:
    if (judged & ~taken).any():
        raise UserError(f"function {function.name!r} is not finite at {inputs[judged & ~taken][0]:g}")
    if not judged.any():
        raise UserError(f"no input code of scale 2^-{input_fraction} lies in the range of {function.name!r}")
    if taken.sum() > MAX_SAMPLES:
        raise UserError(f"{taken.sum()} input codes are too many to fit exactly; give low and high, or fewer bits")


def _histogram(weights: np.ndarray, codes: np.ndarray, possible: np.ndarray) -> np.ndarray:
    """Weights of codes, their mean 1 where there are any."""
    try:
        weights = np.asarray(weights, np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"weights are no numbers: {error}") from error
    if weights.shape != codes.shape or not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        raise UserError(f"weights must be {len(codes)} finite numbers >= 0, not all 0: one for each code")
    if weights[~possible].any():
        raise UserError(f"weights count input codes outside the function's domain, such as {codes[~possible][0]}")
    return weights / weights[weights > 0].mean()


def _check_format(function: Function, samples: Samples, cut: Cut, entries: int, form: PwlFormat) -> None:
    """NarrowFormat if wider coefficients of the same fraction would be much better; their widths are named."""
    error = samples.error(cut)
    touched = {*form.slope_range} & {*cut[1]} or {*form.intercept_range} & {*cut[2]}
    if error <= ROUNDING or not touched:
        return
    wide = PwlFormat(min(form.slope_width + 8, 32), min(form.intercept_width + 8, 32), form.fraction)
    free = _best(samples, entries, wide)
    if error > CLIPPED * samples.error(free) + ROUNDING:
        check_coefficients(function.name, free[1], free[2], form)
    if (np.abs(samples.y) > CLIPPED * _reach(samples.x, form)).any():  # so far off that wider ones are no better
        largest = np.abs(samples.y).max() * 2.0**-form.fraction
        raise NarrowFormat(f"{form} cannot hold {function.name!r}, whose values reach {largest:g}")


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
