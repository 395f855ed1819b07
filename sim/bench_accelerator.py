"""cocotb benches of the accelerator. Run inside the simulator by ``cosim``; import no torch.

Both read ``bench.json`` in the working folder and write ``report.json``.
"""

import json
import random
import time
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.simtime import get_sim_time
from cocotb.triggers import First, RisingEdge, SimTimeoutError, Timer, with_timeout

PERIOD = 2  # steps
RESET_CYCLES = 4


@cocotb.test()
async def play(dut: Any) -> None:
    """Mode 'file': the player does the work, Python only starts it. A cycle is one step."""
    plan = json.loads(Path("bench.json").read_text())
    dut.stall_in.value = dut.stall_out.value = plan["stall"]
    for name in ("seed", "beats", "answers"):
        getattr(dut, name).value = plan[name]
    dut.go.value = 0
    dut.reset_n.value = 0
    await Timer(RESET_CYCLES, "step")
    dut.reset_n.value = 1
    dut.go.value = 1
    start = time.process_time()
    reset_at = plan.get("reset_at", 0)
    if reset_at:
        await Timer(reset_at, "step")
        dut.reset_n.value = 0
        await Timer(RESET_CYCLES, "step")
        dut.reset_n.value = 1
    finished = RisingEdge(dut.done)
    if await First(finished, Timer(plan["cycles_allowed"], "step")) is not finished:
        raise AssertionError(f"the stream has not ended after {plan['cycles_allowed']} cycles")
    _report(cycles=int(dut.cycles.value), cpu_seconds=time.process_time() - start, violations=int(dut.violations.value))


@cocotb.test()
async def stream(dut: Any) -> None:
    """Mode 'stream': Python drives and samples the two AXI4-Streams, one packed integer a cycle."""
    plan = json.loads(Path("bench.json").read_text())
    dut.s_axis_tvalid.value = 0
    dut.m_axis_tready.value = 0
    Clock(dut.aclk, PERIOD, "step").start()
    await _reset(dut.aclk, dut.aresetn)
    words = [[int(word, 16) for word in line.split()] for line in Path("beats.txt").read_text().splitlines()]
    start = time.process_time()
    clock = _Cycles()
    source = cocotb.start_soon(_drive(dut, words, plan["stall"], random.Random(plan["seed"]), clock))
    sink = cocotb.start_soon(_receive(dut, plan["answers"], plan["stall"], random.Random(plan["seed"] + 1), clock))
    try:
        answers = await with_timeout(sink, PERIOD * plan["cycles_allowed"], "step")
    except SimTimeoutError:
        raise AssertionError(f"the stream has not ended after {plan['cycles_allowed']} cycles") from None
    last_taken = await source
    cycles = 1 + max([last_taken, *(cycle for _, cycle, _ in answers[-1:])])
    Path("answers.txt").write_text("".join(f"{last:x} {cycle:x} {data:x}\n" for last, cycle, data in answers))
    _report(cycles=cycles, cpu_seconds=time.process_time() - start, violations=0)


class _Cycles:
    """Counts clock cycles by simulated time, which costs nothing until asked, from the first beat taken."""

    start: int | None = None

    def now(self) -> int:
        time_now = int(get_sim_time("step"))
        if self.start is None:
            self.start = time_now
        return (time_now - self.start) // PERIOD


async def _reset(clock: Any, reset_n: Any) -> None:
    reset_n.value = 0
    for _ in range(RESET_CYCLES):
        await RisingEdge(clock)
    reset_n.value = 1
    await RisingEdge(clock)


async def _drive(dut: Any, words: list[list[int]], stall: float, rng: random.Random, clock: _Cycles) -> int:
    """Offer every beat until it is taken; the cycle in which the last one was."""
    edge, data, ready, valid = RisingEdge(dut.aclk), dut.s_axis_tdata, dut.s_axis_tready, dut.s_axis_tvalid
    taken, head = 0, (-1, -1)
    for last, user, word in words:
        while stall and rng.random() < stall:
            valid.value = 0
            await edge
        data.value = word
        if (last, user) != head:
            dut.s_axis_tuser.value, dut.s_axis_tlast.value, head = user, last, (last, user)
        valid.value = 1
        await edge
        while not ready.value:
            await edge
        taken = clock.now()
    valid.value = 0
    return taken


async def _receive(
    dut: Any, count: int, stall: float, rng: random.Random, clock: _Cycles
) -> list[tuple[int, int, int]]:
    edge, valid, ready, data, last = (
        RisingEdge(dut.aclk), dut.m_axis_tvalid, dut.m_axis_tready, dut.m_axis_tdata, dut.m_axis_tlast,
    )  # fmt: skip
    answers: list[tuple[int, int, int]] = []
    is_ready = not stall
    ready.value = int(is_ready)
    while len(answers) < count:
        await edge  # values read here are those before the edge
        if not valid.value:
            await RisingEdge(valid)
        elif is_ready:
            answers.append((int(last.value), clock.now(), int(data.value)))
        if stall:
            is_ready = rng.random() >= stall
            ready.value = int(is_ready)
    ready.value = 0
    return answers


def _report(**figures: float) -> None:
    Path("report.json").write_text(json.dumps(figures))
