"""The accelerator answers a stream as the interpreter does, at any pace of source and sink."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from slipstick.rtl.array.accelerator import Accelerator
from slipstick.rtl.spec.beats import Beats, schedule
from slipstick.rtl.spec.interpreter import cycles, run
from slipstick.rtl.spec.machine import AcceleratorConfig
from tests.rtl.array.machines import machine, product


def simulate(config: AcceleratorConfig, beats: Beats, pace: float, answers: int) -> tuple[np.ndarray, int]:
    """Answer lanes, and cycles from the first beat to the last answer; ``pace`` is the share of ready cycles."""
    rng = np.random.default_rng(0)
    dut = Accelerator(config)
    columns = config.array.columns
    data, user = beats.data(), beats.user()
    lanes: list[list[int]] = []
    spent = 0

    async def bench(ctx) -> None:
        nonlocal spent
        place = 0
        held = False
        ctx.set(dut.aresetn, 1)
        while len(lanes) < answers or place < len(beats):
            valid = place < len(beats) and (held or rng.random() < pace)
            ctx.set(dut.s_axis_tvalid, valid)
            if valid:
                ctx.set(dut.s_axis_tdata, int.from_bytes(data[place].tobytes(), "little"))
                ctx.set(dut.s_axis_tuser, int(user[place]))
                ctx.set(dut.s_axis_tlast, bool(beats.fields["end"][place]))
            ready = rng.random() < pace
            ctx.set(dut.m_axis_tready, ready)
            await ctx.delay(5e-7)
            taken = valid and ctx.get(dut.s_axis_tready)
            held = valid and not taken
            if ready and ctx.get(dut.m_axis_tvalid):
                word = ctx.get(dut.m_axis_tdata)
                lanes.append([(word >> (32 * c)) & 0xFFFFFFFF for c in range(columns)])
                assert ctx.get(dut.m_axis_tlast) == (len(lanes) == answers)
            ctx.set(dut.aclk, 1)
            await ctx.delay(5e-7)
            ctx.set(dut.aclk, 0)
            place += bool(taken)
            spent += 1
            assert spent < 50 * (len(beats) + 100)

    simulator = Simulator(dut)
    simulator.add_testbench(bench)
    simulator.run()
    return np.array(lanes, np.uint32).view(np.int32).reshape(-1, columns), spent


@pytest.mark.parametrize("pace", [1.0, 0.6])
@pytest.mark.parametrize("tile_rows, tile_columns", [(1, 1), (2, 4), (4, 2), (4, 4)])
def test_answers_are_the_interpreters(tile_rows: int, tile_columns: int, pace: float) -> None:
    config = machine(tile_rows, tile_columns)
    plan = schedule(config, [product(5, 9, 6), product(1, 5, 3, seed=1), product(8, 4, 4, seed=2)])
    wanted = run(config, plan.beats)
    lanes, spent = simulate(config, plan.beats, pace, len(wanted))
    np.testing.assert_array_equal(lanes, wanted)
    if pace == 1.0:
        assert spent == cycles(config, plan.beats)
