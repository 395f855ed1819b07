"""Units with a constant table compute the spec on every code, at any timing, in Amaranth's own simulator."""

import itertools
import random
import subprocess
from pathlib import Path

import numpy as np
import pytest
from amaranth.sim import Simulator

from slipstick.errors import UserError
from slipstick.rtl.spec.fixed import Requant, requantise
from slipstick.rtl.spec.pwl import PwlFormat, PwlTable
from slipstick.rtl.vector.pwl import STAGES, PwlUnit
from slipstick.rtl.verilog.emit import to_verilog
from slipstick.sim.verilator import find_verilator
from tests.bench.pwl_units.integer import ProgrammablePwlUnit
from tests.rtl.tables import FUNCTIONS, SCALES, chords

CODES = np.arange(-128, 128)


def scale(table: PwlTable, gain: float) -> tuple[int, int]:
    found = Requant.from_scale(np.array([gain * 127 / np.abs(table.results).max()]))
    return int(found.multiplier[0]), int(found.shift[0])


def hardware(unit: PwlUnit, codes: np.ndarray, stall: float = 0.0) -> tuple[list[int], int]:
    """Results in order, and the cycles from the first offer to the last result."""
    beats = codes.reshape(-1, unit.lanes).tolist()
    results: list[int] = []
    cycles = 0
    rng = random.Random(7)

    async def bench(ctx) -> None:
        nonlocal cycles
        waiting, offered = list(beats), False
        while len(results) < codes.size:
            offered = bool(waiting) and (offered or rng.random() >= stall)
            ready = rng.random() >= stall
            ctx.set(unit.i.valid, offered)
            if offered:
                for lane, code in enumerate(waiting[0]):
                    ctx.set(unit.i.payload[lane], code)
            ctx.set(unit.o.ready, ready)
            if ready and ctx.get(unit.o.valid):
                results.extend(ctx.get(unit.o.payload[lane]) for lane in range(unit.lanes))
            if offered and ctx.get(unit.i.ready):
                waiting.pop(0)
                offered = False
            await ctx.tick()
            cycles += 1

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return results, cycles


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_code_at_every_scale_agrees_with_the_spec(function: str) -> None:
    for fraction, entries in itertools.product(SCALES, (8, 16)):
        table = chords(function, fraction, entries)
        multiplier, shift = scale(table, 1.3)  # the largest results saturate
        wanted = requantise(table(CODES, np.where), multiplier, shift, mux=np.where)
        got, cycles = hardware(PwlUnit(table, multiplier, shift, lanes=16), CODES)
        assert got == wanted.tolist()
        assert cycles == 256 // 16 + STAGES  # one beat a cycle


@pytest.mark.parametrize("lanes", [1, 4])
def test_no_result_is_lost_or_doubled_under_back_pressure(lanes: int) -> None:
    table = chords("gelu", 4, 8)
    multiplier, shift = scale(table, 1.0)
    wanted = requantise(table(CODES, np.where), multiplier, shift, low=0, high=255, mux=np.where)
    got, _ = hardware(PwlUnit(table, multiplier, shift, low=0, high=255, lanes=lanes), CODES, stall=0.4)
    assert got == wanted.tolist()


def test_wide_inputs_and_uneven_tables_agree_with_the_spec() -> None:
    table = PwlTable("steps", 3, (-7, -7, 200), (1, -128, 127, 5), (-9, 3, 100, -128), input_width=12)
    codes = np.array([-2048, -8, -7, -6, 0, 199, 200, 201, 2047, 1, 2, 3])
    wanted = requantise(table(codes, np.where), 65535, 24, mux=np.where)
    assert hardware(PwlUnit(table, 65535, 24, lanes=3), codes)[0] == wanted.tolist()


@pytest.mark.parametrize(
    "unit",
    [
        PwlUnit(chords("rsqrt", 5, 16), 40000, 20, lanes=2),
        ProgrammablePwlUnit(8, PwlFormat()),
        ProgrammablePwlUnit(16, PwlFormat(), scaled=True, lanes=3),
        ProgrammablePwlUnit(
            8, PwlFormat(32, 32, 16), input_width=32, output_width=32, input_fraction=16, shift=16
        ),
    ],
    ids=["constant", "programmable", "programmable, scaled", "32 bits"],
)  # fmt: skip
def test_verilog_is_clean_under_all_warnings(unit, tmp_path: Path) -> None:
    (tmp_path / "unit.v").write_text(to_verilog(unit, "unit"))
    command = [find_verilator().executable, "--lint-only", "-Wall", "unit.v"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr == "" and done.returncode == 0


@pytest.mark.parametrize("bad", [{"multiplier": 65536}, {"shift": 0}, {"low": 5, "high": 5}, {"lanes": 0}])
def test_parameters_out_of_range_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(UserError, match="PWL unit of 'gelu'"):
        PwlUnit(chords("gelu", 4, 8), **{"multiplier": 1, "shift": 1, **bad})
