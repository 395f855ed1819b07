"""What a cell will do to a layer, predicted from the operand codes that calibration counted.

No forward pass: the moments of the error follow from the table, the layer's own weights and the
distribution of its activation codes; the loss from gradients kept beside a few images' codes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from slipstick.rtl.cells import cell as cell_by_name
from slipstick.rtl.cells.cell import Cell

if TYPE_CHECKING:
    from .layers import ApproxMatmul, Grid, TableLayer, WeightLayer

EXACT_GRID = ((cell_by_name("exact8s"),),)


@lru_cache(maxsize=256)
def _error_tables(choice: Cell) -> tuple[np.ndarray, np.ndarray]:
    error = (choice.table - choice.exact).astype(float)
    return error, error**2


def error_moments(layer: TableLayer, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the accumulators' error, by channel: float64 [N] and [N], in units of one.

    Products at different k count as independent. A layer of two activations has N = 1.
    """
    from .layers import ApproxMatmul, WeightLayer

    if isinstance(layer, WeightLayer):
        return _weight_moments(layer, grid)
    assert isinstance(layer, ApproxMatmul)
    return _matmul_moments(layer, grid)


def _weight_moments(layer: WeightLayer, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    assert layer.code_counts is not None
    probability = layer.code_counts.numpy()
    probability = probability / np.maximum(probability.sum(1, keepdims=True), 1)  # [K, 256]
    weights = layer.weight_codes.cpu().numpy().view(np.uint8)  # [K, N]
    depth, channels = weights.shape
    mean, variance = np.zeros((depth, channels)), np.zeros((depth, channels))
    k = np.arange(depth)[:, None]
    for cell in {cell for row in grid for cell in row}:
        error, square = _error_tables(cell)
        first = (probability @ error)[k, weights]
        second = (probability @ square)[k, weights] - first**2
        places = np.array([[grid[x % len(grid)][y % len(grid[0])] == cell for y in range(len(grid[0]))]
                           for x in range(len(grid))])  # fmt: skip
        chosen = places[np.arange(depth) % len(grid)][:, np.arange(channels) % len(grid[0])]
        mean, variance = np.where(chosen, first, mean), np.where(chosen, second, variance)
    return mean.sum(0), variance.sum(0)


def _matmul_moments(layer: ApproxMatmul, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    assert layer.code_counts is not None and layer.stationary_counts is not None
    left, right = (counts.numpy()[0] for counts in (layer.code_counts, layer.stationary_counts))
    left, right = left / left.sum(), right / right.sum()
    cells = [cell for row in grid for cell in row]
    means, squares = [], []
    for cell in cells:
        error, square = _error_tables(cell)
        means.append(left @ error @ right)
        squares.append(left @ square @ right - means[-1] ** 2)
    return np.array([layer.depth * np.mean(means)]), np.array([layer.depth * np.mean(squares)])


def predicted_damage(layer: TableLayer, grid: Grid) -> float:
    """Predicted rise of the loss (nats an image) when this layer alone uses ``grid``.

    With d the change of the layer's outputs on the sample that calibration kept, and g the gradient of
    the loss of labels drawn from the model's own distribution, E[(g . d)^2] / 2 is the second-order
    term of the expansion of the loss (Fisher information as Hessian), correlations included.
    """
    from .layers import MixedWeights

    gradient, codes, stationary = layer.sample.gradient, layer.sample.codes, layer.sample.stationary
    if gradient is None or codes is None or stationary is None:
        raise ValueError(f"layer {layer.path!r} is not calibrated")
    with torch.no_grad():
        error = MixedWeights(stationary, grid).matmul(codes) - MixedWeights(stationary, EXACT_GRID).matmul(codes)
        mean = torch.from_numpy(error_moments(layer, grid)[0]).to(error.device)
        change = (error - mean).float() * layer.product_scale()
        return float(0.5 * ((gradient * change).flatten(1).sum(1) ** 2).mean())
