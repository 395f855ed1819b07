"""Mean and variance of what cells err, from how often operand codes occur: no forward pass.

Products at different reduction indices count as independent. Letters: K reduction, N output channels.
"""

from functools import lru_cache

import numpy as np

from slipstick.rtl.cells.cell import Cell

from .mixed import Grid

Moments = tuple[np.ndarray, np.ndarray]


@lru_cache(maxsize=256)
def _error_tables(cell: Cell) -> Moments:
    error = (cell.table - cell.exact).astype(float)
    return error, error**2


def weight_moments(counts: np.ndarray, weights: np.ndarray, grid: Grid) -> Moments:
    """Moments of the accumulators' error for known weights: float64 [..., N] and [..., N].

    ``counts`` [..., K, 256]: how often each activation code (as bits) met each k; ``weights`` int8 [..., K, N].
    """
    probability = counts / np.maximum(counts.sum(-1, keepdims=True), 1)
    codes = weights.view(np.uint8).astype(np.int64)
    k, n = np.arange(weights.shape[-2])[:, None], np.arange(weights.shape[-1])
    mean, variance = np.zeros(weights.shape), np.zeros(weights.shape)
    for cell in {cell for row in grid for cell in row}:
        if cell.errors.wce == 0:
            continue
        error, square = _error_tables(cell)
        first = np.take_along_axis(probability @ error, codes, -1)
        second = np.take_along_axis(probability @ square, codes, -1) - first**2
        places = np.array([[one == cell for one in row] for row in grid])
        here = places[k % len(grid), n % len(grid[0])]
        mean, variance = np.where(here, first, mean), np.where(here, second, variance)
    return mean.sum(-2), variance.sum(-2)


def matmul_moments(left: np.ndarray, right: np.ndarray, depth: int, grid: Grid) -> Moments:
    """Moments for two activations that count as independent: float64 [1] and [1].

    ``left`` and ``right`` [256]: how often each code of either operand occurs; ``depth`` is K.
    """
    left, right = left / left.sum(), right / right.sum()
    means, variances = [], []
    for cell in (cell for row in grid for cell in row):
        error, square = _error_tables(cell)
        means.append(left @ error @ right)
        variances.append(left @ square @ right - means[-1] ** 2)
    return np.array([depth * np.mean(means)]), np.array([depth * np.mean(variances)])
