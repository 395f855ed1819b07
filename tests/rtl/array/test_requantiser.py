"""One requantisation: Python integers, NumPy and the hardware agree with the written definition."""

import itertools
from fractions import Fraction
from math import floor

import numpy as np
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st

from slipstick.rtl.array.requantiser import Requantiser
from slipstick.rtl.spec.fixed import Requant, requantise

WIDTH = 24
LOW, HIGH = -(1 << WIDTH - 1), (1 << WIDTH - 1) - 1
Case = tuple[int, int, int, int, int, int]  # accumulator, multiplier, shift, zero, low, high

CORNERS: list[Case] = [
    (accumulator, multiplier, shift, zero, low, high)
    for accumulator, multiplier, shift, (zero, low, high) in itertools.product(
        (LOW, -3, -2, -1, 0, 1, 2, 3, HIGH),
        (0, 1, 32768, 65535),
        (1, 2, 15, 16, 31, 32, 47, 63),
        ((0, -128, 127), (-128, 0, 127), (127, -127, 127), (3, 5, 5)),
    )
]
operands = st.tuples(
    st.integers(LOW, HIGH), st.integers(0, 65535), st.integers(1, 63),
    st.integers(-128, 127), st.integers(-128, 0), st.integers(0, 127),
)  # fmt: skip


def definition(case: Case) -> int:
    accumulator, multiplier, shift, zero, low, high = case
    rounded = floor(Fraction(accumulator * multiplier, 1 << shift) + Fraction(1, 2))
    return min(max(rounded + zero, low), high)


def hardware(cases: list[Case]) -> list[int]:
    dut = Requantiser(WIDTH)
    results = []

    async def bench(ctx) -> None:
        ctx.set(dut.enable, 1)
        for accumulator, multiplier, shift, zero, low, high in cases:
            ctx.set(dut.accumulator, accumulator)
            ctx.set(dut.multiplier, multiplier)
            await ctx.tick()
            for name, value in (("shift", shift), ("zero", zero), ("low", low), ("high", high)):
                ctx.set(getattr(dut, name), value)
            results.append(ctx.get(dut.result))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return results


def numpy(cases: list[Case]) -> list[int]:
    return [int(Requant(np.array([case[1]]), np.array([case[2]]), *case[3:])(np.array([case[0]]))[0]) for case in cases]


def test_all_readings_agree_with_the_definition_on_corners() -> None:
    wanted = [definition(case) for case in CORNERS]
    assert [requantise(*case) for case in CORNERS] == wanted
    assert numpy(CORNERS) == wanted
    assert hardware(CORNERS) == wanted


@settings(max_examples=20)
@given(st.lists(operands, min_size=1, max_size=60))
def test_all_readings_agree_with_the_definition_on_random_values(cases: list[Case]) -> None:
    wanted = [definition(case) for case in cases]
    assert [requantise(*case) for case in cases] == wanted
    assert numpy(cases) == wanted
    assert hardware(cases) == wanted


def test_the_product_waits_for_enable() -> None:
    dut = Requantiser(WIDTH)

    async def bench(ctx) -> None:
        for name, value in (("multiplier", 2), ("shift", 1), ("low", -128), ("high", 127), ("enable", 1)):
            ctx.set(getattr(dut, name), value)
        ctx.set(dut.accumulator, 5)
        await ctx.tick()
        ctx.set(dut.enable, 0)
        ctx.set(dut.accumulator, 9)
        await ctx.tick()
        assert ctx.get(dut.result) == 5

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
