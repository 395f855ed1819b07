"""Fronts of two quantities that are both to be small."""

from collections.abc import Mapping

import moocore
import numpy as np

Points = Mapping[str, tuple[float, float]]


def front(points: Points) -> list[str]:
    """Names of the points that no other dominates, by the first quantity; of equal points the first stays."""
    names = list(points)
    keep = moocore.is_nondominated(np.array([points[name] for name in names], float), keep_weakly=False)
    return sorted((name for name, on in zip(names, keep, strict=True) if on), key=lambda name: points[name])


def hypervolume(points: Points, reference: tuple[float, float]) -> float:
    """Area between the front and a reference point; points beyond it add nothing."""
    inside = [point for point in points.values() if point[0] < reference[0] and point[1] < reference[1]]
    return float(moocore.hypervolume(np.array(inside, float), ref=reference)) if inside else 0.0
