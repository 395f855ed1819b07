"""The systolic array gives the sums of the integer truth, ``latency`` cycles after the activations."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from slipstick.rtl.cells import cell
from slipstick.rtl.spec.array import ArrayConfig, CellMix, matmul
from slipstick.rtl.systolic import SystolicArray

POOL = ["exact8s", "truncated8s_k9", "truncated8s_k6_c1", "broken_array8s_h3_v8", "drum8s_k3"]


def config(rows: int, columns: int, mix: str) -> ArrayConfig:
    """A mix of POOL that is uniform, by column, by row, or different in every place."""
    step = {"uniform": (0, 0), "column": (0, 1), "row": (1, 0), "grid": (2, 1)}[mix]
    grid = [[cell(POOL[(step[0] * r + step[1] * c) % len(POOL)]) for c in range(columns)] for r in range(rows)]
    return ArrayConfig(rows, columns, CellMix(tuple(map(tuple, grid))))


def simulate(config: ArrayConfig, activations: np.ndarray, weights: np.ndarray) -> np.ndarray:
    dut = SystolicArray(config)
    sums = np.zeros((len(activations), config.columns), np.int64)

    async def bench(ctx) -> None:
        ctx.set(dut.load, 1)
        for row in weights[::-1].tolist():
            ctx.set(dut.weights, row)
            await ctx.tick()
        ctx.set(dut.load, 0)
        for cycle in range(len(activations) + dut.latency):
            if cycle < len(activations):
                ctx.set(dut.activations, activations[cycle].tolist())
            if cycle >= dut.latency:
                got = ctx.get(dut.sums)
                sums[cycle - dut.latency] = [got[f"column_{c}"] for c in range(config.columns)]
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return sums


@pytest.mark.parametrize("mix", ["uniform", "column", "row", "grid"])
@pytest.mark.parametrize("rows, columns", [(1, 1), (3, 2), (2, 5)])
def test_sums_are_the_matrix_product_of_the_cells(rows: int, columns: int, mix: str) -> None:
    rng = np.random.default_rng(rows * 10 + columns)
    activations = rng.integers(-128, 128, (20, rows)).astype(np.int8)
    weights = rng.integers(-128, 128, (rows, columns)).astype(np.int8)
    array = config(rows, columns, mix)
    np.testing.assert_array_equal(simulate(array, activations, weights), matmul(array, activations, weights))


def test_the_largest_sums_do_not_overflow() -> None:
    array = config(3, 2, "uniform")
    extreme = np.full((2, 3), -128, np.int8)
    assert simulate(array, extreme, extreme.T).tolist() == [[3 * 128 * 128] * 2] * 2
