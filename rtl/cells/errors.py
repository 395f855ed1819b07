"""Error figures of a multiplier netlist: exact over all operand pairs, or estimated from a seeded sample."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .netlist import Netlist

CHUNK = 1 << 16  # pairs at a time: the planes of a netlist then stay in the cache
LARGEST_EXHAUSTIVE = 24  # bits of both operands together; 32 take minutes
SAMPLE = 1 << 20
CONFIDENCE = 0.99
_Z = 2.5758293035489004  # the normal distribution holds CONFIDENCE within so many deviations


@dataclass(frozen=True)
class Sample:
    """How figures were estimated, and how far each may be off: ``margins`` are half widths of the intervals.

    Intervals of means follow from the central limit theorem; that of ``ep`` holds for every distribution
    (Maurer and Pontil, "Empirical Bernstein Bounds", COLT 2009). That of ``mre`` is too narrow for samples that
    miss the rare pairs of tiny products. ``wce`` has none: a sample gives a lower bound.
    """

    pairs: int
    seed: int
    confidence: float
    margins: dict[str, float]


@dataclass(frozen=True)
class ErrorFigures:
    """Error of a cell against the exact product, over all operand pairs, uniformly weighted.

    Absolute units: ``mae`` mean |error|, ``wce`` worst |error|, ``mse`` mean error^2, ``bias`` mean
    error, ``variance``. Fractions of 1: ``ep`` share of wrong products; ``mre`` mean |error| /
    |product| over the pairs whose exact product is not zero (the convention of EvoApproxLib).
    ``sample`` is None where the figures are exact.
    """

    mae: float
    wce: int
    ep: float
    mre: float
    mse: float
    bias: float
    variance: float
    sample: Sample | None = None

    def as_json(self) -> dict[str, Any]:
        """The figures by name; ``sample`` only where there is one."""
        return {key: value for key, value in asdict(self).items() if value is not None}

    def fractions(self, product_width: int) -> dict[str, float]:
        """All figures as fractions of 1: of 2^product_width, or of its square (the percentages of EvoApproxLib)."""
        whole = 1 << product_width
        powers = {"ep": 0, "mre": 0, "mse": 2, "variance": 2}
        return {key: value / whole ** powers.get(key, 1) for key, value in asdict(self).items() if key != "sample"}


class _Sums:
    """Running sums over chunks; integer sums are exact."""

    def __init__(self) -> None:
        self.pairs = self.nonzero = self.wrong = self.worst = 0
        self.error = self.size = 0
        self.square = self.fourth = self.relative = self.relative_square = 0.0

    def add(self, product: np.ndarray, exact: np.ndarray, higher: bool = False) -> None:
        """Add products and exact products, int64 [n]; ``higher`` moments serve the intervals only."""
        error = product - exact
        size = np.abs(error)
        floating = error.astype(np.float64)
        self.pairs += error.size
        self.wrong += int(np.count_nonzero(error))
        self.worst = max(self.worst, int(size.max()))
        self.error += int(error.sum())
        self.size += int(size.sum())
        squares = floating * floating  # no BLAS: its threads cost more than the product
        self.square += float(squares.sum())
        nonzero = np.count_nonzero(exact)
        relative = np.divide(np.abs(floating), np.abs(exact) + (exact == 0))
        self.nonzero += int(nonzero)
        self.relative += float(relative.sum() if nonzero == exact.size else relative[exact != 0].sum())
        if higher:
            relative = relative[exact != 0]
            self.relative_square += float((relative * relative).sum())
            self.fourth += float((squares * squares).sum())

    def figures(self) -> ErrorFigures:
        pairs = self.pairs
        square = int(self.square)  # sums of squares below 2^53 are exact, and their variance then cancels exactly
        return ErrorFigures(
            mae=self.size / pairs,
            wce=self.worst,
            ep=self.wrong / pairs,
            mre=self.relative / max(self.nonzero, 1),
            mse=square / pairs,
            bias=self.error / pairs,
            variance=(square * pairs - self.error**2) / pairs**2,
        )

    def margins(self, figures: ErrorFigures) -> dict[str, float]:
        """Half widths of the intervals that hold the true means with CONFIDENCE."""
        pairs = self.pairs

        def normal(mean_square: float, mean: float) -> float:
            return _Z * math.sqrt(max(mean_square - mean**2, 0.0) / pairs)

        relative = self.relative / pairs
        # per pair, then scaled to the pairs whose product is not zero, whose share is known exactly
        mre = normal(self.relative_square / pairs, relative) * pairs / max(self.nonzero, 1)
        mse = normal(self.fourth / pairs, figures.mse)
        bias = normal(figures.mse, figures.bias)
        log = math.log(2 / (1 - CONFIDENCE))
        return {
            "mae": normal(figures.mse, figures.mae),
            "ep": math.sqrt(2 * figures.ep * (1 - figures.ep) * log / pairs) + 7 * log / (3 * (pairs - 1)),
            "mre": mre,
            "mse": mse,
            "bias": bias,
            "variance": mse + 2 * abs(figures.bias) * bias,
        }


def operand_values(width: int, signed: bool) -> np.ndarray:
    """Value of every operand bit pattern, int64 [2^width]."""
    bits = np.arange(1 << width)
    return bits - ((bits >> (width - 1)) << width) if signed else bits


def signed_products(netlist: Netlist, signed: bool, a: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Products of operand *bits* [n] and [n], int64 [n]; two's complement where ``signed``."""
    products = netlist.evaluate(a, w).astype(np.int64)
    width = len(netlist.outputs)
    if signed:
        products -= (products >> (width - 1)) << width
    return products


def exhaustive(netlist: Netlist, signed: bool, progress: Callable[[int, int], object] | None = None) -> ErrorFigures:
    """Exact figures over all pairs, in chunks; ``progress(done, total)`` counts pairs.

    On one core an 8x8 cell takes milliseconds, 12x12 seconds, 16x16 minutes.
    """
    (left, right), sums = (operand_values(width, signed) for width in netlist.widths), _Sums()
    w = np.arange(right.size)
    rows = max(1, CHUNK // right.size)
    for start in range(0, left.size, rows):
        a = np.arange(start, min(start + rows, left.size))
        pairs = np.repeat(a, w.size), np.tile(w, a.size)
        sums.add(signed_products(netlist, signed, *pairs), (left[a][:, None] * right[None]).ravel())
        if progress:
            progress(sums.pairs, left.size * right.size)
    return sums.figures()


def sampled(netlist: Netlist, signed: bool, pairs: int = SAMPLE, seed: int = 0) -> ErrorFigures:
    """Figures of uniform random pairs with confidence intervals; ``wce`` is a lower bound.

    The worst error is also looked for among extreme operands, which enter no mean.
    """
    random = np.random.default_rng(seed)
    left, right = (operand_values(width, signed) for width in netlist.widths)
    extremes = [np.unique([0, 1, half - 1, half, half + 1, 2 * half - 1])
                for half in (left.size // 2, right.size // 2)]  # fmt: skip
    a, w = (axis.ravel() for axis in np.meshgrid(*extremes, indexing="ij"))
    worst = int(np.abs(signed_products(netlist, signed, a, w) - left[a] * right[w]).max())
    sums = _Sums()
    while sums.pairs < pairs:
        count = min(CHUNK, pairs - sums.pairs)
        a, w = random.integers(0, left.size, count), random.integers(0, right.size, count)
        sums.add(signed_products(netlist, signed, a, w), left[a] * right[w], higher=True)
    sums.worst = max(sums.worst, worst)
    figures = sums.figures()
    sample = Sample(sums.pairs, seed, CONFIDENCE, sums.margins(figures))
    return ErrorFigures(**{**asdict(figures), "sample": sample})
