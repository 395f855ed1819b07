"""Arrays composed of elements and edges cost what the same arrays cost, flattened and mapped as a whole."""

import pytest

from slipstick.errors import UserError
from slipstick.flow.cost.cost import CostModel
from slipstick.flow.cost.flat import FlatArray, compare
from slipstick.flow.library.liberty import default_liberty
from slipstick.rtl.cells import cell
from slipstick.rtl.spec.array import ArrayConfig, CellMix
from tests.flow.cost.operands import tile

CLOCK_PS = 10_000.0
MIXES = (("exact8s",), ("truncated8s_k6",), ("exact8s", "truncated8s_k6"))
IGNORING = "evolved8s_b60_mae140"  # reads neither of the two low bits of an operand


def comparison(side, mix):
    names = mix * (side // len(mix))
    tiles = [tile("x", seed, rows=side, columns=side) for seed in range(4)]
    cells = [cell(name) for name in names]
    model = CostModel.build([cell(name) for name in mix], {"x": tiles}, rows=side, columns=side)
    config = ArrayConfig(side, side, CellMix.by_column(cells, rows=side, columns=side))
    return compare(FlatArray.build(config, default_liberty(), CLOCK_PS), model, "x")


@pytest.mark.parametrize("mix", MIXES)
def test_a_4x4_array_is_composed_within_1_percent_of_area_and_energy(mix):
    found = comparison(4, mix)
    assert found.area_ratio == pytest.approx(1, abs=0.01)
    assert found.energy_ratio == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("mix", [(IGNORING,), ("exact8s", IGNORING), (IGNORING, "exact8s")])
def test_operand_bits_that_a_cell_ignores_leave_the_array_where_no_other_needs_them(mix):
    found = comparison(4, mix)
    assert found.area_ratio == pytest.approx(1, abs=0.02)
    assert found.energy_ratio == pytest.approx(1, abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("mix", MIXES)
def test_an_8x8_array_is_composed_within_2_percent_of_area_and_energy(mix):
    found = comparison(8, mix)
    assert found.area_ratio == pytest.approx(1, abs=0.02)
    assert found.energy_ratio == pytest.approx(1, abs=0.02)


def test_an_array_wider_than_a_word_is_refused():
    config = ArrayConfig(9, 4, CellMix.uniform(cell("exact8s"), rows=9, columns=4))
    with pytest.raises(UserError, match="up to 8 x 8, not 9 x 4"):
        FlatArray.build(config, default_liberty(), CLOCK_PS)
