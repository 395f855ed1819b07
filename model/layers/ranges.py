"""The range of every operand of a layer, chosen by what its codes do to the layer's output.

What an operand's codes cost is the squared error of the layer's output on the sample that calibration kept,
every output weighted by the square of its gradient: the diagonal of the Fisher information, which stands in for
the Hessian as in ``model/predict.py``. Ranges that are compared are the largest value, two percentiles, least
squared error, and a geometric grid below the largest value. Of ranges that cost the same the widest is taken.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .config import QuantConfig
from .observe import Observer

Product = Callable[..., Tensor]
Named = tuple[str, float]  # the method that chose a range, and the range
TIE = 1e-4  # relative difference of costs that says nothing: rounding of floats makes 1e-5
RATIO = 2**-0.25  # of the grid, from the largest value downwards
MOST_STEPS = 48
CONTENDERS = 2  # of the grid, whose output error is measured
FAR = 4.0  # times the least estimated cost: no contender
CLIPS = [1 - step / 16 for step in range(13)]  # parts of a channel's largest weight
PERCENTILES = (99.99, 99.9)


@dataclass(frozen=True)
class OperandRange:
    """The range that an operand got, by which method, and what it clips of what calibration saw.

    ``beyond`` is the largest value as a multiple of the range, of the worst channel for weights; ``values`` and
    ``energy`` are the shares that lie beyond, of all values and of their summed squares. ``dominant``: clipping
    errs more than rounding, in the mean square.
    """

    operand: str
    range: float
    method: str
    largest: float
    beyond: float = 1.0
    values: float = 0.0
    energy: float = 0.0
    dominant: bool = False

    @property
    def suspicious(self) -> bool:
        """Whether somebody should look at it."""
        return self.beyond > 2 or self.dominant

    def __str__(self) -> str:
        text = f"{self.operand} within {self.range:.4g} ({self.method})"
        if self.values:
            text += (
                f", {100 * self.values:.2g} % beyond, up to {self.beyond:.2f} x, {100 * self.energy:.2g} % of energy"
            )
        return text


def seen_range(operand: str, observer: Observer, range_: float, method: str, limit: int) -> OperandRange:
    """The report on a range with codes up to ``limit`` for observed values."""
    clipped = observer.beyond(range_)
    rounding = (1 - clipped.values) * (range_ / limit) ** 2 / 12
    beyond = max(1.0, observer.largest / range_)
    return OperandRange(
        operand, range_, method, observer.largest, beyond, clipped.values, clipped.energy, clipped.error > rounding
    )


def single_method(observer: Observer, config: QuantConfig, limit: int, power: bool = False) -> Named:
    """The range of one method that looks at the values alone; least squared error stands in for ``output``."""
    if observer.largest == 0:
        return "zeros", float(limit)
    if config.method == "percentile":
        found = _percentile(observer, config.percentile)
    else:
        found = ("minmax", observer.largest) if config.method == "minmax" else ("mse", observer.least_error(limit))
    return (found[0], _power(found[1], limit)) if power else found


def _percentile(observer: Observer, percentile: float) -> Named:
    return f"percentile {percentile:g}", observer.percentile(percentile)


def _power(range_: float, limit: int) -> float:
    """The least range that holds ``range_`` and whose scale is a power of two."""
    return limit * 2.0 ** math.ceil(math.log2(range_ / limit))


def rounded(values: Tensor, scale: Tensor | float, low: int, high: int) -> Tensor:
    """Values as their codes stand for them."""
    return torch.round(values / scale).clamp_(low, high).mul_(scale)


class OutputError:
    """Weighted squared error of ``product(first, second)`` when operands are changed.

    ``gradient`` is that of the loss by the outputs; without one, or a gradient of zeros, all outputs weigh alike.
    """

    def __init__(self, product: Product, first: Tensor, second: Tensor, gradient: Tensor | None) -> None:
        self.product, self.operands = product, (first, second)
        self.reference = product(first, second)
        size = float(gradient.abs().max()) if gradient is not None else 0.0
        if gradient is not None and size > 0 and gradient.numel() == self.reference.numel():
            self.weight = (gradient.reshape(self.reference.shape) / size).square()
        else:
            self.weight = torch.ones_like(self.reference)

    def by_channel(self, first: Tensor, second: Tensor) -> Tensor:
        """The error of each output channel: float64 [N]."""
        error = self.product(first, second).sub_(self.reference).square_().mul_(self.weight)
        return error.flatten(0, -2).sum(0, dtype=torch.float64)

    def __call__(self, first: Tensor, second: Tensor) -> float:
        """The error of all outputs."""
        return float(self.by_channel(first, second).sum())

    def sensitivity(self, place: int) -> Tensor:
        """What an independent unit error of each value of operand ``place`` costs, in the operand's shape."""
        with torch.enable_grad():
            own = torch.zeros_like(self.operands[place]).requires_grad_()
            other = self.operands[1 - place].square()
            result = self.product(own, other) if place == 0 else self.product(other, own)
            return torch.autograd.grad(result, own, self.weight)[0]


class OperandChoice:
    """The choice of one activation operand's range.

    ``sensitivity`` tells what a unit error of each value costs, so that most ranges need no product.
    Beyond the sample ``values``, what else ``seen`` holds counts by what it would clip. ``power``: scales are
    powers of two.
    """

    def __init__(
        self, values: Tensor, sensitivity: Tensor, seen: Observer, limit: int, config: QuantConfig, power: bool = False
    ) -> None:
        self.values, self.sensitivity, self.seen = values, sensitivity, seen
        self.low, self.high, self.config, self.power = -limit - 1, limit, config, power
        self.total = float(sensitivity.sum(dtype=torch.float64))
        self.sample = Observer()
        self.sample.update(values)

    def rounded(self, range_: float) -> Tensor:
        """The sample as codes of a range stand for it."""
        return rounded(self.values, range_ / self.high, self.low, self.high)

    def elsewhere(self, range_: float) -> float:
        """Cost of what a range clips outside the sample, above what it clips within."""
        return self.total * max(0.0, self.seen.beyond(range_).error - self.sample.beyond(range_).error)

    def estimate(self, range_: float) -> float:
        """Cost of a range if all values err independently."""
        error = self.rounded(range_).sub_(self.values).square_().mul_(self.sensitivity)
        return float(error.sum(dtype=torch.float64)) + self.elsewhere(range_)

    def methods(self) -> list[Named]:
        """Ranges that the values alone suggest."""
        found = [
            ("minmax", self.seen.largest), ("mse", self.seen.least_error(self.high)),
            *(_percentile(self.seen, one) for one in dict.fromkeys((self.config.percentile, *PERCENTILES))),
        ]  # fmt: skip
        return [(name, _power(range_, self.high)) for name, range_ in found] if self.power else found

    def grid(self) -> list[Named]:
        """The grid's best by estimate, down to where clipping costs far more."""
        largest, ratio = (_power(self.seen.largest, self.high), 0.5) if self.power else (self.seen.largest, RATIO)
        found, least = [], float("inf")
        for step in range(1, MOST_STEPS):
            cost = self.estimate(largest * ratio**step)
            least = min(least, cost)
            if cost > FAR * least:
                break
            found.append((cost, f"{ratio**step:.2g} x largest", largest * ratio**step))
        return [one[1:] for one in sorted(found)[:CONTENDERS]]

    def best(self, cost: Callable[[Tensor], float], *others: Named) -> Named:
        """The range whose codes' ``cost`` is least, of methods, grid, and ``others``."""
        some = {range_: name for name, range_ in (*self.grid(), *self.methods(), *others)}
        estimates = {range_: self.estimate(range_) for range_ in some}
        near = [range_ for range_ in some if estimates[range_] <= FAR * min(estimates.values())]
        chosen = widest({range_: cost(self.rounded(range_)) + self.elsewhere(range_) for range_ in near})
        return some[chosen], chosen


def widest(costs: dict[float, float]) -> float:
    """The widest of the ranges that cost least."""
    least = min(costs.values())
    return max(range_ for range_, cost in costs.items() if cost <= least * (1 + TIE))


def weight_clip(error: OutputError, inputs: Tensor, limit: int) -> Tensor:
    """The part of every channel's largest weight that its codes hold: [N].

    Squared error weighted by the inputs' squares and the outputs' gradients picks it; the output's error on the
    sample, ``inputs`` rounded to their codes, confirms it, channel by channel.
    """
    weight = error.operands[1].detach()
    rows = weight.flatten(1)
    largest = rows.abs().amax(1)
    scale = torch.where(largest > 0, largest / limit, torch.ones_like(largest))
    weighted = error.sensitivity(1).flatten(1)

    def codes(clip: Tensor) -> Tensor:
        return rounded(rows, (scale * clip)[:, None], -limit, limit)

    def cost(clip: float) -> Tensor:
        part = codes(torch.full_like(scale, clip)).sub_(rows).square_().mul_(weighted)
        return part.sum(1, dtype=torch.float64)

    costs = torch.stack([cost(clip) for clip in CLIPS])
    allowed = costs <= costs.amin(0) * (1 + TIE)
    clip = torch.tensor(CLIPS, device=rows.device)[allowed.int().argmax(0)]  # the first is the widest
    whole = torch.ones_like(clip)
    clipped, kept = (error.by_channel(inputs, codes(one).view_as(weight)) for one in (clip, whole))
    return torch.where(clipped < kept, clip, whole)


def clipped_weights(weight: Tensor, clip: Tensor) -> OperandRange:
    """The report on weights [N, ...] of which every channel keeps a part of its largest."""
    rows = weight.detach().flatten(1).abs().double()
    largest = rows.amax(1)
    ranges = (largest * clip.double())[:, None]
    excess = (rows - ranges).clamp(min=0)
    energy = float(rows.square().sum()) or 1.0
    method = "minmax" if bool((clip == 1).all()) else f"{float(clip.min()):.2f} to {float(clip.max()):.2f} x largest"
    return OperandRange(
        "weights", float(ranges.max()), method, float(largest.max()), float(1 / clip.min()),
        float((excess > 0).double().mean()), float(excess.square().sum()) / energy,
    )  # fmt: skip


def choose_pair(error: OutputError, choices: Sequence[OperandChoice]) -> list[Named]:
    """Ranges of both operands of a product of activations: the best method for both, then each in turn."""
    first, second = choices
    pairs = list(zip(first.methods(), second.methods(), strict=True))
    costs = [
        error(first.rounded(a[1]), second.rounded(b[1])) + first.elsewhere(a[1]) + second.elsewhere(b[1])
        for a, b in pairs
    ]
    one, other = pairs[min(range(len(pairs)), key=costs.__getitem__)]
    held = second.rounded(other[1])
    one = first.best(lambda values: error(values, held), one)
    values = first.rounded(one[1])
    other = second.best(lambda held: error(values, held), other)
    return [one, other]
