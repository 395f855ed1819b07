"""The in-memory cost model gives every row of the published tables."""

import pytest

from slipstick.errors import UserError
from slipstick.flow.reuse.crossbar import crossbar_cost, tiles
from slipstick.flow.reuse.geometry import DEIT_S, LV_VIT_S, Geometry
from tests.flow.reuse.published import ROWS, Row


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_a_published_row_is_reproduced(row: Row) -> None:
    cost = crossbar_cost(row.geometry, row.reuse)
    assert round(cost.area_mm2, 1) == row.area_mm2
    assert cost.energy_mj == pytest.approx(row.energy_mj, rel=0.005)
    assert cost.energy_mj == pytest.approx(row.printed_mj, abs=0.005 if row.geometry is DEIT_S else 0.0009)
    assert cost.delay_ms == pytest.approx(row.delay_ms, abs=0.006)
    assert cost.edap == pytest.approx(row.edap, rel=0.004)


def test_layers_of_deit_s_take_the_tiles_that_its_area_shows() -> None:
    assert (tiles(384, 384), tiles(384, 1536), tiles(384, 197), tiles(197, 384)) == (3, 9, 2, 2)


@pytest.mark.parametrize("geometry", [DEIT_S, LV_VIT_S], ids=lambda one: one.name)
def test_a_transformation_block_costs_one_layer_of_the_width_squared(geometry: Geometry) -> None:
    without, counted = (crossbar_cost(geometry, 5, transform) for transform in (False, True))
    assert counted.energy_mj - without.energy_mj == pytest.approx(5 * 0.000709, rel=1e-3)
    assert counted.delay_ms - without.delay_ms == pytest.approx(5 * 0.0302, rel=1e-3)
    assert counted.area_mm2 - without.area_mm2 == pytest.approx(5 * 5.7)
    assert crossbar_cost(geometry, 0, True) == crossbar_cost(geometry, 0)


def test_the_headline_of_2_3_times_is_2_1_with_the_transformation_block() -> None:
    baseline = crossbar_cost(DEIT_S, 0).edap
    assert baseline / crossbar_cost(DEIT_S, 5).edap == pytest.approx(2.30, abs=0.01)
    assert baseline / crossbar_cost(DEIT_S, 5, transform=True).edap == pytest.approx(2.09, abs=0.01)


@pytest.mark.parametrize("reuse", [-1, 12])
def test_a_number_of_reuse_encoders_that_cannot_be_is_refused(reuse: int) -> None:
    with pytest.raises(UserError, match=f"{reuse} of 12 encoders cannot reuse attention; 0 to 11 can"):
        crossbar_cost(DEIT_S, reuse)


def test_a_geometry_that_cannot_be_is_refused() -> None:
    with pytest.raises(UserError, match="5 heads do not divide a width of 384"):
        Geometry("odd", 197, 384, 12, 5, 4)
    with pytest.raises(UserError, match="every size must be at least 1"):
        Geometry("none", 0, 384, 12, 6, 4)
