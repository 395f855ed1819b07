"""Softmax and LayerNorm in Amaranth's own simulator: single rows, parameters out of range, clean Verilog."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from amaranth.sim import Simulator

from slipstick.errors import UserError
from slipstick.rtl.spec.layernorm import LayerNormSpec
from slipstick.rtl.spec.softmax import SoftmaxSpec
from slipstick.rtl.vector.layernorm import LayerNormUnit
from slipstick.rtl.vector.softmax import SoftmaxUnit
from slipstick.rtl.verilog.emit import to_verilog
from slipstick.sim.verilator import find_verilator
from tests.rtl.tables import chords

RNG = np.random.default_rng(8)
SOFTMAX = SoftmaxSpec(40000, 21, chords("exp", 4, 16), chords("reciprocal", 6, 16), length=9)
NORM = LayerNormSpec.from_float(
    RNG.normal(1, 0.3, 6), RNG.normal(0, 1, 6), 1e-6, 1 / 64, 1 / 32, chords("rsqrt", 5, 16)
)


def hardware(unit: SoftmaxUnit | LayerNormUnit, rows: list[np.ndarray]) -> list[list[int]]:
    """Rows through a unit, one after another, every beat offered as soon as it is taken."""
    beats = []
    for row in rows:
        for start in range(0, len(row), unit.lanes):
            part = row[start : start + unit.lanes].tolist()
            beats.append((part, (1 << len(part)) - 1, start + unit.lanes >= len(row)))
    results: list[list[int]] = [[]]

    async def bench(ctx) -> None:
        waiting = list(beats)
        ctx.set(unit.o.ready, 1)
        for _ in range(4 * len(beats) + 100):
            ctx.set(unit.i.valid, bool(waiting))
            if waiting:
                part, keep, last = waiting[0]
                for lane, value in enumerate(part):
                    ctx.set(unit.i.payload.data[lane], value)
                ctx.set(unit.i.payload.keep, keep)
                ctx.set(unit.i.payload.last, last)
            if ctx.get(unit.o.valid):
                keep = ctx.get(unit.o.payload.keep)
                results[-1] += [ctx.get(unit.o.payload.data[lane]) for lane in range(unit.lanes) if keep >> lane & 1]
                if ctx.get(unit.o.payload.last):
                    results.append([])
            if waiting and ctx.get(unit.i.ready):
                waiting.pop(0)
            await ctx.tick()

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert results.pop() == []
    return results


@pytest.mark.parametrize("lanes", [1, 2, 4])
def test_softmax_of_rows_of_any_length_agrees_with_the_spec(lanes: int) -> None:
    rows = [RNG.integers(-300_000, 300_000, length) for length in (9, 1, 4, 9, 2, 3, 1, 8)]
    assert hardware(SoftmaxUnit(SOFTMAX, lanes, width=24), rows) == [SOFTMAX(row).tolist() for row in rows]


@pytest.mark.parametrize("lanes", [1, 3, 4])
def test_layernorm_of_rows_agrees_with_the_spec(lanes: int) -> None:
    rows = [*RNG.integers(-3000, 3000, (5, 6)), np.full(6, -32768), np.array([32767, 0, 0, 0, 0, 0])]
    assert hardware(LayerNormUnit(NORM, lanes), rows) == [NORM(row).tolist() for row in rows]


@pytest.mark.parametrize(
    "unit",
    [SoftmaxUnit(SOFTMAX), SoftmaxUnit(SOFTMAX, 3), LayerNormUnit(NORM), LayerNormUnit(NORM, 4)],
    ids=["softmax", "softmax, 3 lanes", "layernorm", "layernorm, 4 lanes"],
)  # fmt: skip
def test_verilog_is_clean_under_all_warnings(unit, tmp_path: Path) -> None:
    text = "/* verilator lint_off DECLFILENAME */\n" + to_verilog(unit, "unit")  # one file holds all modules
    (tmp_path / "unit.v").write_text(text)
    command = [find_verilator().executable, "--lint-only", "-Wall", "unit.v"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr == "" and done.returncode == 0


def test_units_without_lanes_are_refused() -> None:
    with pytest.raises(UserError, match="softmax unit: 0 lanes"):
        SoftmaxUnit(SOFTMAX, 0)
    with pytest.raises(UserError, match="at least one lane, not 0"):
        LayerNormUnit(NORM, 0)
