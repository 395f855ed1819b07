"""The mesh adds the products of the integer truth, whatever its tiles, pauses, and weights that load meanwhile."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from slipstick.rtl.array.mesh import Mesh
from slipstick.rtl.spec.array import matmul
from slipstick.rtl.spec.machine import AcceleratorConfig
from tests.rtl.array.machines import machine


def simulate(config: AcceleratorConfig, activations: np.ndarray, weights: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Sums [P, M, C] of P products int8 [P, M, R] with weights [P, R, C], added to ``start`` [P, M, C].

    Weights of the next product load while one is computed; rows come with random pauses and the whole
    mesh stops at random.
    """
    rng = np.random.default_rng(1)
    dut = Mesh(config)
    tile_rows, tile_columns = config.mesh
    (products, count, rows), columns = activations.shape, weights.shape[2]
    column_of_tile = [c // config.tile_columns for c in range(columns)]
    sums = np.zeros((products, count, columns), np.int64)
    under_way: list[tuple[int, int] | None] = [None] * (tile_rows + tile_columns + 1)

    async def bench(ctx) -> None:
        async def cycle(taken: tuple[int, int] | None, row_write: tuple[int, int] | None) -> bool:
            advance = bool(rng.random() < 0.8)
            ctx.set(dut.advance, advance)
            ctx.set(dut.valid, taken is not None)
            if taken:
                ctx.set(dut.activations, activations[taken].tolist())
                ctx.set(dut.bank, taken[0] % 2)
            ctx.set(dut.write, 0)
            if row_write:
                ctx.set(dut.write, 1 << row_write[1])
                ctx.set(dut.weights, weights[row_write].tolist())
                ctx.set(dut.write_bank, row_write[0] % 2)
            entering = [under_way[j] for j in column_of_tile]  # accepted j + 1 cycles ago
            leaving = [under_way[tile_rows + j] for j in column_of_tile]
            ctx.set(dut.sums_in, {
                f"column_{c}": int(start[(*entering[c], c)]) if entering[c] else 0 for c in range(columns)
            })  # fmt: skip
            got = ctx.get(dut.sums_out)
            for c, place in enumerate(leaving):
                if place and advance:
                    sums[(*place, c)] = got[f"column_{c}"]
            await ctx.tick()
            if advance:
                under_way.insert(0, taken)
                under_way.pop()
            return advance

        for row in range(rows):
            await cycle(None, (0, row))
        for product in range(products):
            todo = [(product, m) for m in range(count)]
            loads = [(product + 1, row) for row in range(rows)] if product + 1 < products else []
            while todo or loads:
                busy = {place[0] % 2 for place in under_way if place}
                load = loads[0] if loads and loads[0][0] % 2 not in busy else None
                taken = todo[0] if todo and rng.random() < 0.9 else None
                advanced = await cycle(taken, load)
                loads = loads[bool(load) :]
                todo = todo[bool(taken) and advanced :]
        while any(under_way):
            await cycle(None, None)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return sums


@pytest.mark.parametrize(
    "tile_rows, tile_columns, mix",
    [(1, 1, "grid"), (2, 1, "row"), (1, 4, "column"), (4, 2, "grid"), (2, 2, "uniform"), (4, 4, "grid")],
)
def test_sums_are_those_of_the_integer_truth(tile_rows: int, tile_columns: int, mix: str) -> None:
    config = machine(tile_rows, tile_columns, mix=mix)
    rng = np.random.default_rng(tile_rows * 10 + tile_columns)
    activations = rng.integers(-128, 128, (3, 12, 4)).astype(np.int8)
    weights = rng.integers(-128, 128, (3, 4, 4)).astype(np.int8)
    start = rng.integers(-1000, 1000, (3, 12, 4))
    wanted = [matmul(config.array, a, w) for a, w in zip(activations, weights, strict=True)]
    np.testing.assert_array_equal(simulate(config, activations, weights, start), start + wanted)


def test_the_largest_sums_do_not_overflow() -> None:
    config = machine(2, 2, mix="uniform")
    extreme = np.full((1, 2, 4), -128, np.int8)
    sums = simulate(config, extreme, np.full((1, 4, 4), -128, np.int8), np.zeros((1, 2, 4), int))
    assert (sums == 4 * 128 * 128).all()
