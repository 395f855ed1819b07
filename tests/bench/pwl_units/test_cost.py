"""Mapped piecewise linear units compute their lines, and int8 is far cheaper than the others."""

import math

import numpy as np
import pytest

from slipstick.flow.library.liberty import default_liberty
from slipstick.flow.power.synth import synthesise
from slipstick.rtl.verilog.emit import to_verilog
from tests.bench.pwl_units.cost import TOP, Lines, best_unit, kinds, run, unit_cost

CLOCK_PS = 12_500
KINDS = kinds(input_fraction=5, shift=6)
LATENCY = 3
LINES = Lines(
    np.array([-3.0, -2, -1, 0, 0.5, 1.5, 3]),
    np.array([0.0, -0.03125, -0.125, 0.15625, 0.59375, 1.0625, 1.09375, 1]),
    np.array([0.0, -0.09375, -0.28125, 0, 0, -0.25, -0.28125, 0]),
)
INPUTS = np.random.default_rng(4).normal(0, 1.3, 320)


def lines_of(x: np.ndarray) -> np.ndarray:
    place = np.searchsorted(LINES.breakpoints, x, side="right")
    return LINES.slopes[place] * x + LINES.intercepts[place]


def outputs(name: str) -> np.ndarray:
    """Words on the output, those of the inputs from the first that passed the whole pipeline on."""
    kind = KINDS[name]
    design = synthesise(to_verilog(kind.unit(8, 1), TOP), TOP, default_liberty(), clock_ps=CLOCK_PS)
    activity = run(design, default_liberty(), kind.words(INPUTS), kind.registers(LINES), CLOCK_PS)
    assert (activity.values("o__valid")[LATENCY:] == 1).all()
    return activity.values("o__payload", signed=name.startswith("int"))[LATENCY:]


def test_the_mapped_int8_unit_computes_its_lines() -> None:
    codes = np.clip(np.rint(INPUTS * 32), -128, 127)
    wanted = np.clip(np.floor(lines_of(codes / 32) * 32 + 0.5), -128, 127)
    np.testing.assert_array_equal(outputs("int8"), wanted[:-LATENCY])


def test_the_mapped_bfloat16_unit_computes_its_lines() -> None:
    got = (outputs("bfloat16").astype(np.uint32) << 16).view(np.float32)
    x = (INPUTS.astype(np.float32).view(np.uint32) >> 16 << 16).view(np.float32)
    np.testing.assert_allclose(got, lines_of(x)[:-LATENCY], rtol=0.03, atol=0.004)


@pytest.mark.slow
def test_the_mapped_int32_unit_computes_its_lines() -> None:
    codes = np.rint(INPUTS * 2**16)
    wanted = np.floor(lines_of(codes / 2**16) * 2**16 + 0.5)
    np.testing.assert_array_equal(outputs("int32"), wanted[:-LATENCY])


@pytest.mark.slow
def test_the_mapped_float32_unit_computes_its_lines() -> None:
    x = INPUTS.astype(np.float32)
    place = np.searchsorted(LINES.breakpoints, x, side="right")
    wanted = LINES.slopes.astype(np.float32)[place] * x + LINES.intercepts.astype(np.float32)[place]
    got = outputs("float32").astype(np.uint32).view(np.float32)
    np.testing.assert_array_equal(got, wanted[:-LATENCY])


def full_precision() -> Lines:
    """Chords of GELU, as a unit that is not bound to 8 bits would hold them."""
    points = np.linspace(-4, 4, 9)
    values = np.array([x * (1 + math.erf(x / math.sqrt(2))) / 2 for x in points])
    slopes = np.diff(values) / np.diff(points)
    return Lines(points[1:-1], slopes, values[:-1] - slopes * points[:-1])


@pytest.mark.slow
@pytest.mark.parametrize("rival", ["int32", "float32"])
def test_int8_saves_three_quarters_of_area_and_power(rival: str) -> None:
    ours, other = (
        best_unit(KINDS[name], full_precision(), INPUTS, default_liberty(), clock_ps=CLOCK_PS)
        for name in ("int8", rival)
    )
    assert ours.area_um2 < 0.25 * other.area_um2 and ours.energy_fj < 0.25 * other.energy_fj
    assert ours.lane_area_um2 < 0.25 * other.lane_area_um2 and ours.lane_energy_fj < 0.25 * other.lane_energy_fj
    assert ours.delay_ps < other.delay_ps < CLOCK_PS


def test_a_lane_costs_less_than_a_unit_and_glitches_cost_more_than_none() -> None:
    cost = unit_cost(KINDS["int8"], LINES, INPUTS, default_liberty(), clock_ps=CLOCK_PS, booth=True)
    assert 0 < cost.lane_area_um2 < cost.area_um2 and 0 < cost.lane_energy_fj < cost.energy_fj
    assert cost.glitch_energy_fj > cost.energy_fj and cost.lane_glitch_energy_fj > cost.lane_energy_fj
