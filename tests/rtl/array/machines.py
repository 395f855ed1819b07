"""Machines and matrix products for tests."""

import numpy as np

from slipstick.rtl.cells import cell
from slipstick.rtl.spec.array import ArrayConfig, CellMix
from slipstick.rtl.spec.beats import MatrixProduct
from slipstick.rtl.spec.fixed import Requant
from slipstick.rtl.spec.machine import AcceleratorConfig

POOL = ["exact_magnitude8s", "truncated8s_k9", "evolved8s_mae300", "truncated_magnitude8s_k8_c2", "exact_booth8s"]
STEPS = {"uniform": (0, 0), "column": (0, 1), "row": (1, 0), "grid": (2, 1)}


def machine(
    tile_rows: int, tile_columns: int, rows: int = 4, columns: int = 4, mix: str = "grid", accumulator_rows: int = 6
) -> AcceleratorConfig:
    """A mix of POOL that is uniform, by column, by row, or different in every place."""
    down, right = STEPS[mix]
    grid = [[cell(POOL[(down * r + right * c) % len(POOL)]) for c in range(columns)] for r in range(rows)]
    array = ArrayConfig(rows, columns, CellMix(tuple(map(tuple, grid))))
    return AcceleratorConfig(array, tile_rows, tile_columns, accumulator_rows, depth=4)


def product(m: int, k: int, n: int, seed: int = 0) -> MatrixProduct:
    """A random product."""
    rng = np.random.default_rng(seed)
    scale = rng.uniform(1e-4, 1e-2, n)
    return MatrixProduct(
        rng.integers(-128, 128, (m, k)).astype(np.int8),
        rng.integers(-127, 128, (k, n)).astype(np.int8),
        rng.integers(-5000, 5000, n).astype(np.int32),
        Requant.from_scale(scale, -100, 120),
    )
