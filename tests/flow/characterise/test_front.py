"""Fronts and hypervolumes of two quantities against their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstick.flow.characterise.front import front, hypervolume

POINTS = st.dictionaries(st.text("abcdef", min_size=1, max_size=4), st.tuples(st.integers(0, 9), st.integers(0, 9)),
                         min_size=1, max_size=12)  # fmt: skip


@given(POINTS)
def test_a_point_is_on_the_front_when_no_other_is_at_least_as_small_in_both(points) -> None:
    names = front(points)
    assert len({points[name] for name in names}) == len(names)
    on = {points[name] for name in names}
    for point in points.values():
        dominated = any(q != point and q[0] <= point[0] and q[1] <= point[1] for q in points.values())
        assert (point in on) == (not dominated)


@given(POINTS)
def test_hypervolume_counts_the_unit_squares_that_some_point_dominates(points) -> None:
    grid = np.indices((10, 10)).reshape(2, -1).T
    covered = sum(any(x >= p[0] and y >= p[1] for p in points.values()) for x, y in grid)
    assert hypervolume(points, (10, 10)) == pytest.approx(covered)
