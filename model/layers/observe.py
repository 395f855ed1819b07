"""What calibration sees of an operand: a histogram of its sizes, the ranges it suggests, and what a range clips."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

BINS = 8192  # of which at least half lie below the largest value
STEPS = 64  # of the largest value, that least squared error looks at


@dataclass(frozen=True)
class Clipped:
    """What lies beyond a range: shares of all values and of their summed squares, mean squared excess."""

    values: float = 0.0
    energy: float = 0.0
    error: float = 0.0


class Observer:
    """Histogram of |x| over any number of batches, the same for them in any order.

    Its range is the least power of two that holds the largest value, so bins, of which each has its upper end, merge
    exactly, two into one, when it grows. Zeros have a count of their own: every range holds them, so they say nothing
    about it.
    """

    def __init__(self) -> None:
        self.counts = torch.zeros(BINS, dtype=torch.float64)
        self.zeros = 0
        self.range = 0.0
        self.largest = 0.0

    def update(self, values: Tensor) -> None:
        """Add a batch of any shape."""
        size = values.detach().abs().flatten()
        size = size[size > 0].double()
        self.zeros += values.numel() - len(size)
        if not len(size):
            return
        self.largest = max(self.largest, float(size.max()))
        part, exponent = math.frexp(self.largest)
        wanted = 2.0 ** (exponent - (part == 0.5))
        if self.range == 0:
            self.range = wanted
        while self.range < wanted:
            self.counts = torch.cat([self.counts.view(-1, 2).sum(1), torch.zeros(BINS // 2, dtype=torch.float64)])
            self.range *= 2
        places = size.mul_(BINS / self.range).ceil_().long() - 1  # exact: a power of two
        self.counts += torch.bincount(places, minlength=BINS).double().cpu()

    def snapshot(self) -> "Observer":
        """What was seen so far."""
        twin = Observer()
        twin.counts, twin.zeros, twin.range, twin.largest = self.counts.clone(), self.zeros, self.range, self.largest
        return twin

    @property
    def edge(self) -> float:
        """Width of a bin."""
        return self.range / BINS

    @property
    def total(self) -> float:
        """Number of values, zeros included."""
        return float(self.counts.sum()) + self.zeros

    def percentile(self, percentile: float) -> float:
        """Upper end of the bin that holds a percentile of |x|, zeros left out; at most the largest value."""
        below = torch.cumsum(self.counts, 0)
        index = int(torch.searchsorted(below, below[-1] * percentile / 100))
        return min((index + 1) * self.edge, self.largest)

    def least_error(self, limit: int) -> float:
        """The range, of parts of the largest value, whose codes up to ``limit`` err least in the mean square."""
        ranges = [self.largest * step / STEPS for step in range(STEPS // 8, STEPS + 1)]
        return min(ranges, key=lambda top: float(self.counts @ _squared_error(self._centres(), top, limit)))

    def beyond(self, range_: float) -> Clipped:
        """What a range clips, as finely as bins tell: the bin that a range ends in counts in proportion."""
        if self.total == 0 or range_ >= self.largest:
            return Clipped()
        lower = torch.arange(BINS, dtype=torch.float64) * self.edge
        upper = torch.clamp(lower + self.edge, max=self.largest)
        share = ((upper - lower.clamp(min=range_)) / (upper - lower).clamp(min=1e-300)).clamp(0, 1)
        counts = self.counts * share
        middle = (lower.clamp(min=range_) + upper) / 2
        excess = float(counts @ (middle - range_).clamp(min=0) ** 2)
        energy = float(self.counts @ self._centres() ** 2)
        return Clipped(float(counts.sum()) / self.total, excess / energy, excess / self.total)

    def _centres(self) -> Tensor:
        return (torch.arange(BINS, dtype=torch.float64) + 0.5) * self.edge


def _squared_error(values: Tensor, top: float, limit: int) -> Tensor:
    scale = top / limit
    return (values - torch.round(values / scale).clamp(max=limit) * scale) ** 2
