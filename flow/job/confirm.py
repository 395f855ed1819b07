"""Which evaluated assignment to build: the cheapest whose loss is confirmed on images that nothing has seen yet."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from slipstick.errors import UserError
from slipstick.flow.search.study import Point, SearchResult
from slipstick.model.convert import assign_
from slipstick.model.evaluate import correct
from slipstick.model.paired import Paired, fewest_images

from .workbench import Workbench

CONFIDENCE = 0.95
CANDIDATES = 10
RATIO = 1.7  # of the divergences of two candidates, about
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Confirmed:
    """A point and its top-1 on the validation images, paired with that of exact int8."""

    point: Point
    accuracy: float
    paired: Paired

    @property
    def bound(self) -> float:
        """One-sided upper bound on the loss of top-1, a fraction."""
        return self.paired.upper_bound(CONFIDENCE)

    def as_json(self) -> dict[str, Any]:
        """All figures, by name."""
        return {
            "trial": self.point.number,
            "accuracy": self.accuracy,
            "loss": self.paired.loss,
            "standard_error": self.paired.standard_error,
            "lost": self.paired.lost,
            "gained": self.paired.gained,
            "bound": self.bound,
        }


def check_confirmable(images: int, max_loss: float) -> None:
    """UserError where even a perfect candidate could not be confirmed on so few images; ``max_loss`` in points."""
    needed = fewest_images(max_loss / 100, CONFIDENCE)
    if images < needed:
        raise UserError(
            f"{images} validation images cannot confirm a loss of at most --max-loss {max_loss:g} points at "
            f"{CONFIDENCE:.0%} confidence: at least {needed} are needed; give more images, or allow more"
        )


def candidates(found: SearchResult, most_divergence: float) -> list[Point]:
    """At most CANDIDATES points cheaper than all exact, by rising divergence and falling energy.

    The cheapest within ``most_divergence``, and within every RATIO-th part of it: with many steps chance would end
    the sequence early, with long ones it would miss what lies between.
    """
    budgets = most_divergence / RATIO ** np.arange(CANDIDATES)[::-1]
    cheaper = [p for p in found.front if p.energy_nj < found.exact.energy_nj]
    within = [[p for p in cheaper if p.divergence <= budget] for budget in budgets]
    best = {p.number: p for some in within if some for p in [min(some, key=lambda p: p.energy_nj)]}
    return list(best.values())


def confirm(
    bench: Workbench, found: SearchResult, max_loss: float, most_divergence: float, progress: Progress
) -> tuple[Point, list[Confirmed]]:
    """Test candidates on the validation images from the gentlest to the cheapest; return the choice and all tested.

    A fixed sequence: each is tested at the full level, and the first whose bound exceeds ``max_loss`` points ends
    it; the one before is chosen, the all-exact assignment where there is none. The order comes from the search's
    images alone, so a wrong choice needs a wrong verdict on the first candidate that truly loses more: its chance is
    that of one test, however many are tried (Maurer et al., 1995). Testing the cheapest first would need
    Bonferroni's correction, and with few images confirm next to nothing.
    """
    sequence = candidates(found, most_divergence)
    images = bench.images.validation
    assign_(bench.loaded.module, found.exact.assignment)
    reference = correct(bench.loaded, images)
    chosen, tested = found.exact, []
    progress(1, len(sequence) + 1)
    for point in sequence:
        assign_(bench.loaded.module, point.assignment)
        right = correct(bench.loaded, images)
        tested.append(Confirmed(point, float(right.mean()), Paired.of(reference, right)))
        progress(len(tested) + 1, len(sequence) + 1)
        if tested[-1].bound > max_loss / 100:
            break
        chosen = point
    return chosen, tested
