"""Cycles of the array: those of the schedule, beat by beat, and what reuse takes off them."""

import numpy as np
import pytest

from slipstick.errors import UserError
from slipstick.flow.cost.timeline import drain_cycles
from slipstick.flow.reuse.geometry import DEIT_S, SHIPPED_VIT, Geometry
from slipstick.flow.reuse.shape import vit_shape
from slipstick.flow.reuse.systolic import cycles, encoder_products, matrices, systolic_delay_ms, vector_cycles
from slipstick.model.workload import LayerShape
from slipstick.model.zoo import load_model
from slipstick.rtl.cells import cell
from slipstick.rtl.spec.array import ArrayConfig, CellMix
from slipstick.rtl.spec.fixed import Requant
from slipstick.rtl.spec.schedule import Kind, schedule


@pytest.mark.parametrize("shape", [(50, 32, 9), (300, 10, 7), (5, 4, 3), (256, 9, 6)])
def test_cycles_are_the_beats_of_the_schedule_and_the_waits_between(shape: tuple[int, int, int]) -> None:
    m, k, n = shape
    config = ArrayConfig(4, 3, CellMix.uniform(cell("exact8s"), rows=4, columns=3))
    rng = np.random.default_rng(0)
    a, w = (rng.integers(-99, 99, size).astype(np.int8) for size in ((m, k), (k, n)))
    requant = Requant.from_scale(np.full(n, 1e-3))
    plan = schedule(config, a, w, np.zeros(n, np.int32), requant, drains=(Kind.DRAIN_OUTPUTS,))
    kinds = plan.beats.kind
    tiles = int((kinds == Kind.WEIGHTS).sum()) // 4
    unused = 3 * -(-n // 3) - int((kinds == Kind.COLUMN).sum())  # biases of columns that the last group lacks
    waits = tiles * (4 + 3) + sum(drain.rows + 3 for drain in plan.drains)
    assert cycles(LayerShape("linear", m, k, n, 1), 4, 3) == len(plan.beats) + waits + unused
    assert cycles(LayerShape("matmul", m, k, n, 5), 4, 3) == 5 * cycles(LayerShape("linear", m, k, n, 1), 4, 3)


def test_a_part_of_a_product_drains_as_the_cost_model_counts_it() -> None:
    one = LayerShape("linear", 40, 16, 16, 1)
    assert cycles(one, 16, 16) == 16 + 40 + 32 + drain_cycles(16, 40)


def test_products_of_an_encoder_are_those_of_the_paper() -> None:
    whole, reused, bare = (
        sum(shape.macs for shape in encoder_products(DEIT_S, *kind).values())
        for kind in ((False,), (True,), (True, False))
    )
    assert whole - bare == pytest.approx(117.0e6, rel=1e-3) and reused - bare == 197 * 384**2


@pytest.mark.parametrize("geometry", [DEIT_S, SHIPPED_VIT])
def test_products_of_one_matrix_each_do_the_same_work(geometry: Geometry) -> None:
    for reuses, wanted in ((False, 3 + 2 * geometry.heads + 3), (True, 4)):
        found = 0
        for part, shape in encoder_products(geometry, reuses).items():
            number, one = matrices(part, shape)
            assert number * one.macs == shape.macs and one.repeats == 1 and one.channels <= shape.channels
            found += number
        assert found == wanted


def test_every_reuse_encoder_takes_off_the_same_time_and_the_transformation_block_gives_some_back() -> None:
    def delays(transform: bool) -> list[float]:
        return [
            systolic_delay_ms(DEIT_S, r, rows=16, columns=16, clock_mhz=100, transform=transform) for r in range(12)
        ]

    steps = np.diff(delays(True))
    assert np.allclose(steps, steps[0]) and steps[0] < 0
    assert np.allclose(np.subtract(delays(True), delays(False)), 1e-5 * np.arange(12) * cycles(
        LayerShape("linear", 197, 384, 384, 1), 16, 16))  # fmt: skip
    assert delays(True)[0] == pytest.approx(delays(False)[0])


def test_units_in_series_take_a_beat_a_cycle_for_every_row_that_an_encoder_has() -> None:
    norm, gelu, softmax, residual = 64 * 32, 64 * 64, 4 * 64 * 16, 64 * 32  # rows times beats of 4 lanes
    whole, reused, bare = (vector_cycles(SHIPPED_VIT, *kind) for kind in ((False, 4), (True, 4), (True, 4, False)))
    assert whole == 2 * norm + gelu + softmax + 2 * residual
    assert bare == norm + gelu + 2 * residual
    assert reused == bare + norm + 64 * 32  # the GELU of the transformation block has a token's width
    array, both = (
        systolic_delay_ms(SHIPPED_VIT, 2, rows=16, columns=16, clock_mhz=100, lanes=lanes) for lanes in (None, 4)
    )
    assert both - array == pytest.approx(1e-5 * (4 * whole + 2 * reused))


def test_clock_and_products_outside_the_encoders_count() -> None:
    def delay(clock: float, outside: tuple[LayerShape, ...] = ()) -> float:
        return systolic_delay_ms(SHIPPED_VIT, 2, rows=8, columns=8, clock_mhz=clock, outside=outside)

    extra = LayerShape("conv2d", 1024, 27, 32, 1)
    assert delay(200) == pytest.approx(delay(100) / 2)
    assert delay(100, (extra,)) - delay(100) == pytest.approx(1e-5 * cycles(extra, 8, 8))
    with pytest.raises(UserError, match="6 of 6 encoders cannot reuse"):
        systolic_delay_ms(SHIPPED_VIT, 6, rows=8, columns=8, clock_mhz=100)


def test_the_shape_of_the_shipped_network_is_read_off_it() -> None:
    shape = vit_shape(load_model())
    ratio = shape.hidden / shape.dim
    assert Geometry("vit-cifar10", shape.tokens, shape.dim, shape.encoders, shape.heads, ratio) == SHIPPED_VIT
    assert {name: one.macs for name, one in shape.outside.items()} == {
        "patch_embed.proj.0": 32 * 32 * 27 * 32,
        "patch_embed.proj.3": 16 * 16 * 9 * 32 * 64,
        "patch_embed.proj.6": 8 * 8 * 9 * 64 * 128,
        "head": 128 * 10,
    }
