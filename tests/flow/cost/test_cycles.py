"""The cycles that the cost model counts are those of the simulated Verilog."""

import numpy as np
import pytest

from slipstick.flow.cost.timeline import drain_cycles, tile_cycles
from slipstick.rtl.cells import cell
from slipstick.rtl.spec.array import ArrayConfig, CellMix, matmul
from slipstick.rtl.spec.fixed import Requant
from slipstick.sim.cosim import cosimulate
from slipstick.sim.vectors import GemmJob

ROWS, COLUMNS = 4, 3


def test_a_layer_takes_as_many_cycles_as_its_verilog_without_back_pressure() -> None:
    config = ArrayConfig(ROWS, COLUMNS, CellMix.uniform(cell("exact8s"), rows=ROWS, columns=COLUMNS))
    m, k, n = 50, 32, 9
    rng = np.random.default_rng(0)
    activations, weights = (rng.integers(-99, 99, shape).astype(np.int8) for shape in ((m, k), (k, n)))
    accumulators = matmul(config, activations, weights).astype(np.int32)
    requant = Requant.from_scale(np.full(n, 1e-3))
    job = GemmJob(
        "layer", activations, weights, np.zeros(n, np.int32), requant, tuple(range(COLUMNS)), accumulators,
        requant(accumulators).astype(np.int8),
    )  # fmt: skip
    result = cosimulate(config, [job], seed=1)
    assert result.mismatches == 0
    tiles, drains = (k // ROWS) * (n // COLUMNS), n // COLUMNS
    twice = drain_cycles(COLUMNS, m) + m + 4  # accumulators and outputs both leave; the bias comes once
    expected = tiles * tile_cycles(ROWS, COLUMNS, m) + drains * twice
    assert result.cycles == pytest.approx(expected, abs=6 + 2 * drains)
