"""GQA-LUT's genetic search for breakpoints, with rounding mutation (Dong et al., DAC 2024, Algorithms 1 and 2).

An individual is N - 1 ascending breakpoints. Its segments are the chords of the function through neighbouring
ones, slopes and intercepts then rounded to the coefficients' grid; its fitness is the mean squared error over the
function's published sample points.
"""

from dataclasses import dataclass

import numpy as np

from slipstick.errors import UserError
from slipstick.rtl.spec.pwl import PwlFormat, check_coefficients

from .curve import Q1_6, PwlCurve
from .functions import RECIPROCAL, RSQRT, Function, named


@dataclass(frozen=True)
class GeneticSettings:
    """Parameters of the search; population, generations, crossover, tournament, rounding and noise are as published.

    Ours: the best individual outlives worse children, the search is begun ``restarts`` times, and ``mutation`` (the
    share of mutated individuals) is 0.5 instead of 0.2, with fewer moved breakpoints each; without these EXP, whose
    breakpoints crowd together, stays behind the published tables.

    Of a mutated individual every breakpoint is rounded to i fraction bits with probability ``rounding`` for each i of
    ``precisions``, or else, with probability ``noise_share``, moved by normal noise of deviation ``noise``. Raises
    UserError for numbers that are no such parameters.
    """

    population: int = 50
    generations: int = 500
    crossover: float = 0.7
    mutation: float = 0.5
    tournament: int = 3
    rounding: float = 0.05
    precisions: tuple[int, int] = (0, 6)
    noise_share: float = 0.2
    noise: float = 0.2
    restarts: int = 32

    def __post_init__(self) -> None:
        kinds = self.precisions[1] - self.precisions[0] + 1
        shares = self.crossover, self.mutation, self.rounding * kinds + self.noise_share
        if (
            self.population < 2
            or min(self.generations, self.tournament, self.restarts, kinds) < 1
            or self.precisions[0] < 0
        ):
            raise UserError(f"no genetic search with {self}")
        if min(shares) < 0 or max(shares) > 1 or self.rounding < 0 or self.noise_share < 0 or self.noise < 0:
            raise UserError(f"probabilities of a genetic search are 0 to 1, and 1 at most together: {self}")


def settings_for(function: Function | str) -> GeneticSettings:
    """The default parameters, for DIV and RSQRT without rounding, as published."""
    return GeneticSettings(rounding=0.0 if named(function) in (RECIPROCAL, RSQRT) else GeneticSettings.rounding)


def fit_genetic(
    function: Function | str,
    entries: int,
    format: PwlFormat = Q1_6,
    seed: int = 0,
    settings: GeneticSettings | None = None,
) -> PwlCurve:
    """The best curve of ``entries`` chords that ``restarts`` searches ever saw; same seed, same curve.

    ``settings`` are ``settings_for`` the function unless given. Raises UserError for fewer than 2 entries and for a
    format that cannot hold the coefficients (naming the widths that would).
    """
    function = named(function)
    if entries < 2:
        raise UserError(f"a table has 2 entries or more, not {entries}")
    settings = settings or settings_for(function)
    search = _Search(function, format.fraction)
    runs = [
        _run(search, function, entries - 1, settings, np.random.default_rng((seed, restart)))
        for restart in range(settings.restarts)
    ]
    best = min(runs, key=lambda run: run[0])[1]
    slopes, intercepts = (tuple(int(code) for code in codes[0]) for codes in search.lines(best[None]))
    check_coefficients(function.name, slopes, intercepts, format)
    return PwlCurve(function.name, tuple(best.tolist()), slopes, intercepts, format)


def _run(
    search: "_Search", function: Function, genes: int, settings: GeneticSettings, rng: np.random.Generator
) -> tuple[float, np.ndarray]:
    """Least error and its breakpoints [genes] of one search."""
    people = np.sort(rng.uniform(function.low, function.high, (settings.population, genes)), axis=1)
    errors = search.errors(people)
    for _ in range(settings.generations):
        best = people[errors.argmin()]
        people = _cross(_select(people, errors, settings, rng), settings, rng)
        people = np.clip(np.sort(_mutate(people, settings, rng), axis=1), function.low, function.high)
        people[0] = best
        errors = search.errors(people)
    return float(errors.min()), people[errors.argmin()]


class _Search:
    """Chords of a function and their errors, for a whole population [P, N - 1] at once."""

    def __init__(self, function: Function, fraction: int) -> None:
        self._function, self._unit = function, 2.0**fraction
        self._grid = x = function.grid
        y = function(x)
        powers = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
        self._sums = np.concatenate([np.zeros((1, 6)), np.cumsum(powers, axis=0)])  # so a segment costs no loop
        self._tails = function.tails or (function.low, function.high)

    def lines(self, people: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Slope and intercept codes float64 [P, N]; flat where two breakpoints coincide."""
        ends = (np.full((len(people), 1), end) for end in self._tails)
        points = np.concatenate([next(ends), people, next(ends)], axis=1)
        values, widths = self._function(points), np.diff(points)
        slopes = np.divide(np.diff(values), widths, out=np.zeros_like(widths), where=widths > 0)
        anchor = np.r_[1, 1 : points.shape[1] - 1]  # a point of each chord, never a tail: it is too far to round well
        intercepts = values[:, anchor] - slopes * points[:, anchor]
        return np.rint(slopes * self._unit), np.rint(intercepts * self._unit)

    def errors(self, people: np.ndarray) -> np.ndarray:
        """Mean squared errors float64 [P] over the function's sample points."""
        k, b = (codes / self._unit for codes in self.lines(people))
        starts = np.searchsorted(self._grid, people)
        edge = np.zeros((len(people), 1), np.int64)
        sums = self._sums[np.concatenate([edge, starts, edge + len(self._grid)], axis=1)]
        n, x, y, xx, xy, yy = np.moveaxis(np.diff(sums, axis=1), 2, 0)
        squares = yy - 2 * (k * xy + b * y) + k * (k * xx + 2 * b * x) + b * b * n
        return squares.sum(axis=1) / len(self._grid)


def _select(people: np.ndarray, errors: np.ndarray, settings: GeneticSettings, rng: np.random.Generator) -> np.ndarray:
    """As many individuals again, each the best of a tournament."""
    drawn = rng.integers(len(people), size=(len(people), settings.tournament))
    return people[drawn[np.arange(len(people)), errors[drawn].argmin(axis=1)]]


def _cross(people: np.ndarray, settings: GeneticSettings, rng: np.random.Generator) -> np.ndarray:
    """Pairs of neighbours swap a random run of breakpoints."""
    pairs, genes = len(people) // 2, people.shape[1]
    cuts = np.sort(rng.integers(genes + 1, size=(pairs, 2)), axis=1)
    place = np.arange(genes)
    swapped = (place >= cuts[:, :1]) & (place < cuts[:, 1:]) & (rng.random((pairs, 1)) < settings.crossover)
    crossed = people.copy()
    crossed[: 2 * pairs : 2] = np.where(swapped, people[1 : 2 * pairs : 2], people[: 2 * pairs : 2])
    crossed[1 : 2 * pairs : 2] = np.where(swapped, people[: 2 * pairs : 2], people[1 : 2 * pairs : 2])
    return crossed


def _mutate(people: np.ndarray, settings: GeneticSettings, rng: np.random.Generator) -> np.ndarray:
    """Breakpoints of some individuals rounded to few fraction bits, or moved."""
    first, last = settings.precisions
    chosen = rng.random((len(people), 1)) < settings.mutation
    scale = 2.0 ** rng.integers(first, last + 1, people.shape)
    rounded = settings.rounding * (last - first + 1)
    draw = rng.random(people.shape)
    moved = people + rng.normal(0, settings.noise, people.shape)
    changed = np.where(
        draw < rounded, np.rint(people * scale) / scale, np.where(draw < rounded + settings.noise_share, moved, people)
    )
    return np.where(chosen, changed, people)
