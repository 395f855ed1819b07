"""Straight lines with coefficients on a grid: the exact least squares of many segments at once, and the best cut.

All values here are in units of the coefficients' last bit, so slopes and intercepts are whole numbers.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from slipstick.rtl.spec.pwl import PwlFormat

BLOCK = 1 << 19  # pairs at once
REACH = 1 << 12  # slopes tried on either side of the best real one; only a single sample could ask for more


@dataclass(frozen=True)
class Moments:
    """Weighted moments of S segments, float64 [S] each: sums of squares and products are about the means."""

    weight: np.ndarray
    x: np.ndarray
    y: np.ndarray
    xx: np.ndarray
    xy: np.ndarray
    yy: np.ndarray

    def pick(self, index: np.ndarray) -> "Moments":
        """The moments of some of the segments."""
        return Moments(*(part[index] for part in vars(self).values()))


def moments(x: np.ndarray, y: np.ndarray, weights: np.ndarray, starts: np.ndarray) -> Moments:
    """Moments of samples ``start`` to ``end`` for all ends >= start, a start after the other.

    ``x`` ascending, ``y``, ``weights`` > 0: float64 [n]. Sums run over distances from the segment's first
    sample, so nothing cancels.
    """
    mask = np.arange(len(x)) >= starts[:, None]
    w = np.where(mask, weights, 0)
    dx, dy = x - x[starts, None], y - y[starts, None]
    total, sx, sy, sxx, sxy, syy = (
        np.cumsum(w * part, axis=1)[mask] for part in (1, dx, dy, dx * dx, dx * dy, dy * dy)
    )
    mx, my = sx / total, sy / total
    first = np.repeat(starts, len(x) - starts)
    return Moments(
        total, x[first] + mx, y[first] + my,
        np.maximum(sxx - sx * mx, 0), sxy - sx * my, np.maximum(syy - sy * my, 0),
    )  # fmt: skip


def best_lines(m: Moments, form: PwlFormat) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Least weighted squared error float64 [S], with its slope and intercept codes int64 [S].

    For a slope k the best intercept is the rounded mean of y - kx, limited to the format. Its cost lies between
    that of the unrounded intercept, which is convex in k, and weight / 4 more; so slopes are tried outwards from the
    minimum of that bound until the bound itself is no better than what was found.
    """
    (k_low, k_high), (b_low, b_high) = form.slope_range, form.intercept_range
    free = np.divide(m.xy, m.xx, out=np.zeros_like(m.xx), where=m.xx > 0)
    least = np.maximum(m.yy - free * m.xy, 0)

    def bound(m: Moments, free: np.ndarray, k: np.ndarray) -> np.ndarray:
        b = m.y - k * m.x
        return m.xx * (k - free) ** 2 + m.weight * (b - np.clip(b, b_low, b_high)) ** 2

    b = m.y - free * m.x
    limit = np.clip(b, b_low, b_high)
    scale = m.xx + m.weight * m.x**2
    pulled = np.divide(m.xx * free + m.weight * m.x * (m.y - limit), scale, out=free.copy(), where=scale > 0)
    centre = np.clip(np.rint(np.where(b == limit, free, pulled)), k_low, k_high)
    best, slope = np.full(len(free), np.inf), centre.copy()
    for step in (1, -1):
        index, k = np.arange(len(free)), centre if step > 0 else centre - 1
        part, part_free = m, free
        for _ in range(REACH):
            keep = (k >= k_low) & (k <= k_high) & (bound(part, part_free, k) < best[index])
            if not keep.all():
                index, k, part, part_free = index[keep], k[keep], part.pick(keep), part_free[keep]
            if not index.size:
                break
            b = part.y - k * part.x
            cost = part.xx * (k - part_free) ** 2 + part.weight * (b - np.clip(np.rint(b), b_low, b_high)) ** 2
            better = cost < best[index]
            best[index[better]], slope[index[better]] = cost[better], k[better]
            k = k + step
    intercept = np.clip(np.rint(m.y - slope * m.x), b_low, b_high)
    return best + least, slope.astype(np.int64), intercept.astype(np.int64)


def all_costs(x: np.ndarray, y: np.ndarray, weights: np.ndarray, form: PwlFormat) -> np.ndarray:
    """Costs float64 [n, n] of segments from the row's sample to the column's; infinite where that is before it."""
    costs = np.full((len(x), len(x)), np.inf)
    for starts in _blocks(len(x)):
        rows, columns = np.nonzero(np.arange(len(x)) >= starts[:, None])
        costs[starts[rows], columns] = best_lines(moments(x, y, weights, starts), form)[0]
    return costs


def _blocks(count: int) -> Iterator[np.ndarray]:
    rows = max(1, BLOCK // count)
    for start in range(0, count, rows):
        yield np.arange(start, min(start + rows, count))


def best_starts(costs: np.ndarray, segments: int) -> list[int]:
    """First samples of at most ``segments`` segments of least total cost (dynamic programming over their ends)."""
    total, choices = costs[0], []
    for _ in range(min(segments, len(costs)) - 1):
        candidates = total[:-1, None] + costs[1:]
        choice = candidates.argmin(axis=0)
        choices.append(choice + 1)
        total = candidates[choice, np.arange(len(costs))]
    starts, end = [], len(costs) - 1
    for choice in reversed(choices):
        starts.append(int(choice[end]))
        end = starts[-1] - 1
    return [0, *reversed(starts)]


def lines_of(
    x: np.ndarray, y: np.ndarray, weights: np.ndarray, starts: list[int], form: PwlFormat
) -> tuple[list[int], list[int]]:
    """Slope and intercept codes of the segments that begin at ``starts`` and end before the next."""
    slopes, intercepts = [], []
    for start, end in zip(starts, [*starts[1:], len(x)], strict=True):
        part = slice(start, end)
        last = moments(x[part], y[part], weights[part], np.array([0])).pick(np.array([end - start - 1]))
        _, slope, intercept = best_lines(last, form)
        slopes.append(int(slope[0]))
        intercepts.append(int(intercept[0]))
    return slopes, intercepts
