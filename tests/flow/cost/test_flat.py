"""A mesh composed of its modules costs what the netlist of the whole mesh does, and that computes the tables' sums."""

import pytest

from slipstick.flow.cost.cost import CostModel
from slipstick.flow.cost.flat import compare
from slipstick.flow.cost.wires import NO_WIRES
from slipstick.flow.power.delays import Delays
from slipstick.rtl.cells import cell
from slipstick.rtl.spec.cycles import Shape
from tests.flow.cost.operands import tile

MIXES = (("exact_multiples8s",), ("truncated_magnitude8s_k6_c2",), ("exact8s", "evolved8s_b60_mae140"))


def comparison(rows, columns, shape, mix, delays=Delays.ZERO):
    tiles = [tile("x", seed, rows=rows, columns=columns) for seed in range(4)]
    model = CostModel.build(
        [cell(name) for name in mix], {"x": tiles}, {"x": Shape(64, rows, columns)}, rows=rows, columns=columns,
        tile=shape, delays=delays, wires=NO_WIRES,
    )  # fmt: skip
    return compare(model, mix * (columns // len(mix)), "x")


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("shape", [(1, 1), (2, 4), (4, 4)])
def test_a_4x4_mesh_is_composed_within_2_percent_of_energy_and_1_of_area(mix, shape):
    found = comparison(4, 4, shape, mix)
    assert found.area_ratio == pytest.approx(1, abs=0.01)
    assert found.energy_ratio == pytest.approx(1, abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("delays", [Delays.ZERO, Delays.NLDM])
@pytest.mark.parametrize("mix", MIXES[:2])
@pytest.mark.parametrize("side, shape", [((8, 4), (8, 4)), ((16, 16), (16, 16))])
def test_larger_meshes_are_composed_within_3_percent_and_with_glitches_5(side, shape, mix, delays):
    found = comparison(*side, shape, mix, delays)
    assert found.energy_ratio == pytest.approx(1, abs=0.03 if delays is Delays.ZERO else 0.05)
