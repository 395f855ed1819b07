"""docs/reuse.svg: accuracy against EDAP of patterns, and how alike the attention of encoders is."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt

MARKERS = {"control": "s", "single": "o", "strided": "o", "continuous": "^"}
COLOURS = {"control": "#52606d", "single": "#2186eb", "strided": "#2186eb", "continuous": "#e12d39"}


@dataclass(frozen=True)
class Point:
    """A pattern: its EDAP without reuse over its own, and the top-1 in percent of its networks, one a seed."""

    family: str
    blocks: tuple[int, ...]
    gain: float
    top1: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return sum(self.top1) / len(self.top1)

    @property
    def reach(self) -> tuple[list[float], list[float]]:
        """How far the worst and the best seed lie from the mean."""
        return [self.mean - min(self.top1)], [max(self.top1) - self.mean]


def draw(points: Sequence[Point], similar: Sequence[Sequence[float]], path: Path) -> None:
    """Write the figure; the same points give the same file."""
    plt.rcParams.update({"svg.hashsalt": "slipstick", "svg.fonttype": "none"})
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), gridspec_kw={"width_ratios": (3, 2)})
    named: set[str] = set()
    for one in points:
        left.errorbar(
            one.gain, one.mean, yerr=one.reach, fmt=MARKERS[one.family], color=COLOURS[one.family], capsize=3,
            label=None if one.family in named else one.family,
        )  # fmt: skip
        named.add(one.family)
        text = ", ".join(map(str, one.blocks))
        left.annotate(text, (one.gain, one.mean), textcoords="offset points", xytext=(6, 4), fontsize=8)
    left.set(xlabel="EDAP without reuse / with", ylabel="top-1 on the test images (%)")
    left.grid(color="#e4e7eb")
    left.set_axisbelow(True)
    left.legend(frameon=False)
    image = right.imshow(similar, vmin=0, vmax=1, cmap="Blues")
    numbers = range(len(similar))
    right.set(xlabel="encoder", ylabel="encoder", xticks=numbers, yticks=numbers, title="CKA of attention outputs")
    for row, line in enumerate(similar):
        for column, value in enumerate(line):
            right.text(column, row, f"{value:.2f}", ha="center", va="center", color="white" if value > 0.6 else "black")
    figure.colorbar(image, ax=right, shrink=0.8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
