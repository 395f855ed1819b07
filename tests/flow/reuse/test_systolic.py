"""Cycles of the array: those of the schedule, beat by beat, and what reuse takes off them."""

import numpy as np
import pytest

from slipstick.errors import UserError
from slipstick.flow.reuse.geometry import DEIT_S, SHIPPED_VIT, Geometry
from slipstick.flow.reuse.shape import vit_shape
from slipstick.flow.reuse.systolic import cycles, encoder_products, matrices, systolic_delay_ms, vector_cycles
from slipstick.model.workload import LayerShape
from slipstick.model.zoo import load_model
from slipstick.rtl.cells import cell
from slipstick.rtl.spec import interpreter
from slipstick.rtl.spec.array import ArrayConfig, CellMix
from slipstick.rtl.spec.beats import MatrixProduct, schedule
from slipstick.rtl.spec.fixed import Requant
from slipstick.rtl.spec.machine import AcceleratorConfig


@pytest.mark.parametrize("tile", ["1x1", "2x3", "auto"])
@pytest.mark.parametrize("shape", [(50, 32, 9), (300, 10, 7), (5, 4, 3), (256, 9, 6)])
def test_cycles_are_those_of_the_contract(shape: tuple[int, int, int], tile: str) -> None:
    m, k, n = shape
    array = ArrayConfig(4, 3, CellMix.uniform(cell("exact8s"), rows=4, columns=3))
    tiles = {"1x1": (1, 1), "2x3": (2, 3), "auto": (4, 3)}[tile]
    config = AcceleratorConfig(array, *tiles)
    a, w = np.zeros((m, k), np.int8), np.zeros((k, n), np.int8)
    product = MatrixProduct(a, w, np.zeros(n, np.int32), Requant.from_scale(np.full(n, 1e-3)))
    twice, thrice = (interpreter.cycles(config, schedule(config, [product] * n, raw=(False,)).beats) for n in (2, 3))
    counted = cycles(LayerShape(m, k, n, 1, "linear"), 4, 3, tile=tile)
    assert counted == thrice - twice
    assert cycles(LayerShape(m, k, n, 5, "matmul"), 4, 3, tile=tile) == 5 * counted


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
        LayerShape(197, 384, 384, 1), 16, 16))  # fmt: skip
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

    extra = LayerShape(1024, 27, 32, 1, "conv2d")
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
