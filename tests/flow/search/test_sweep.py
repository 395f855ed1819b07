"""The sweep's front: valid, non-dominated, and what brute force finds where costs add."""

from itertools import product

import moocore
import numpy as np
import pytest

from slipstick.flow.search.sweep import MOST_SETS, cell_sets, swept_front

from .test_study import synthetic


def test_its_choices_are_on_the_convex_front_of_all_assignments_where_costs_add() -> None:
    problem = synthetic(slots=4)
    every = list(product(range(5), repeat=4))
    points = np.array([(problem.damage_of(c), problem.energy_of(c)) for c in every])
    best = {every[i] for i in np.flatnonzero(moocore.is_nondominated(points))}
    found = swept_front(problem, 100.0)
    assert len(found) > 8 and set(found) <= best and (0, 0, 0, 0) in found and (4, 4, 4, 4) in found
    energies = [problem.energy_of(c) for c in found]
    assert energies == sorted(energies, reverse=True)


def test_nothing_beyond_the_damage_of_interest_is_offered() -> None:
    problem = synthetic()
    found = swept_front(problem, 0.1)
    assert found and max(problem.damage_of(c) for c in found) <= 0.1
    assert swept_front(problem, -1.0) == []


@pytest.mark.parametrize("count", [1, 5, 12, 40])
def test_sets_of_cells_stay_few_and_small_ones_come_first(count: int) -> None:
    sets = cell_sets(count)
    assert len(sets) == (2**count - 1 if count <= 5 else len(sets)) and len(sets) <= max(MOST_SETS, count)
    assert [len(s) for s in sets] == sorted(len(s) for s in sets) and len(set(sets)) == len(sets)
