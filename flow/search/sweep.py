"""Assignments that need no evaluation to be found: the least of energy + weight x predicted damage."""

from itertools import combinations

import moocore
import numpy as np

from .problem import Problem

WEIGHTS = 120  # trade-offs tried for every set of cells
MOST_SETS = 1024  # of cells; beyond, only the smaller sets: every further cell costs a tile of its own


def cell_sets(count: int) -> list[tuple[int, ...]]:
    """All non-empty sets of ``count`` cells by rising size; only up to the largest size that stays below MOST_SETS."""
    sets: list[tuple[int, ...]] = []
    for size in range(1, count + 1):
        more = list(combinations(range(count), size))
        if sets and len(sets) + len(more) > MOST_SETS:
            break
        sets += more
    return sets


def swept_front(problem: Problem, most_damage: float) -> list[tuple[int, ...]]:
    """Choices [S] that no other of the sweep beats in both predicted damage and energy, by falling energy.

    For every set of cells and every weight each layer takes the cell of least energy + weight x damage; the energy
    of the whole choice, tiles and all, then decides. Choices of more than ``most_damage`` (nats) are left out.
    """
    energy, damage = problem.energy, problem.damage
    weights = energy.max(1).sum() * np.logspace(-2, 6, WEIGHTS)[:, None, None]
    cost = energy[None] + weights * damage[None]  # [W, S, A]
    found: dict[tuple[int, ...], None] = {}
    for cells in cell_sets(len(problem.choices)):
        own = np.array(cells)
        best = own[cost[:, :, own].argmin(2)]  # [W, S]
        found.update(dict.fromkeys(tuple(map(int, row)) for row in np.unique(best, axis=0)))
    choices = [choice for choice in found if problem.damage_of(choice) <= most_damage]
    if not choices:
        return []
    points = np.array([(problem.damage_of(choice), problem.energy_of(choice)) for choice in choices])
    kept = np.flatnonzero(moocore.is_nondominated(points, keep_weakly=False))
    return [choices[i] for i in sorted(kept, key=lambda i: -points[i, 1])]
