"""The least number of reuse encoders for a target: the nine published rows, and what cannot be met."""

from collections.abc import Callable

import pytest

from slipstick.errors import UserError
from slipstick.flow.reuse.crossbar import crossbar_cost
from slipstick.flow.reuse.geometry import DEIT_S, LV_VIT_S, Geometry
from slipstick.flow.reuse.select import SelectConfig, smallest_reuse
from tests.flow.reuse.published import TARGETS, Row


def crossbar(geometry: Geometry, transform: bool = False) -> Callable[[int], float]:
    return lambda reuse: crossbar_cost(geometry, reuse, transform).delay_ms


@pytest.mark.parametrize("row", TARGETS, ids=[row.name for row in TARGETS])
def test_a_published_target_gives_the_published_number(row: Row) -> None:
    assert row.target is not None
    assert smallest_reuse(crossbar(row.geometry), row.geometry.encoders, row.target) == row.reuse


def test_all_nine_targets_are_there() -> None:
    assert [(row.target, row.reuse) for row in TARGETS] == [
        (9, 3), (7, 5), (6, 7), (4, 9), (12, 4), (10, 6), (9, 7), (8, 9), (6, 11),
    ]  # fmt: skip


def test_counting_the_transformation_block_never_needs_fewer() -> None:
    for row in TARGETS:
        assert row.target is not None
        counted = smallest_reuse(crossbar(row.geometry, True), row.geometry.encoders, row.target)
        assert counted - row.reuse in (0, 1)


def test_a_delay_equal_to_the_target_does_not_meet_it() -> None:
    assert smallest_reuse(lambda reuse: 10 - reuse, 6, 7) == 4
    assert smallest_reuse(lambda reuse: 10 - reuse, 6, 7.001) == 3
    assert smallest_reuse(lambda reuse: 10 - reuse, 6, 11) == 0


def test_a_target_that_cannot_be_met_is_refused_with_what_can() -> None:
    assert smallest_reuse(crossbar(DEIT_S), 12, 2) == 11
    with pytest.raises(
        UserError, match=r"below 1\.9 ms is not possible: from 10\.92 ms without reuse, 11 of 12 .* 1\.906"
    ):
        smallest_reuse(crossbar(DEIT_S), 12, 1.9)
    for target in (0.0, -3.0, float("nan"), float("inf")):
        with pytest.raises(UserError, match="give a time above 0"):
            smallest_reuse(crossbar(LV_VIT_S), 16, target)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [("fraction", 0.0, "reuse fraction 0.0: must be above 0"), ("fraction", 1.5, "reuse fraction 1.5: must be above 0"),
     ("partial_steps", 0, "reuse partial_steps 0: must be from 1")],
)  # fmt: skip
def test_bad_settings_are_refused(name: str, value: float, message: str) -> None:
    with pytest.raises(UserError, match=message):
        SelectConfig(**{name: value})
