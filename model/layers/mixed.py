"""Weights under several cells: which part of a matrix product each cell computes."""

import torch
from torch import Tensor

from slipstick.rtl.cells import cell as cell_by_name
from slipstick.rtl.cells.cell import Cell

from ..gemm import PreparedWeights

Grid = tuple[tuple[Cell, ...], ...]  # grid[k % R][n % C] is the cell of reduction index k and output channel n
EXACT_GRID: Grid = ((cell_by_name("exact8s"),),)


def cell_groups(grid: Grid, depth: int, channels: int) -> list[tuple[Cell, Tensor | None, Tensor | None]]:
    """(cell, its k, its n) of every block of equal cells; None stands for all of them."""
    result = []
    rows: dict[tuple[Cell, ...], list[int]] = {}
    for k in range(len(grid)):
        rows.setdefault(grid[k], []).append(k)
    for cells, residues in rows.items():
        depths = None
        if len(rows) > 1:
            depths = torch.tensor([k for k in range(depth) if k % len(grid) in residues], dtype=torch.long)
        columns: dict[Cell, list[int]] = {}
        for n, cell in enumerate(cells):
            columns.setdefault(cell, []).append(n)
        for cell, places in columns.items():
            chosen = None
            if len(columns) > 1:
                chosen = torch.tensor([n for n in range(channels) if n % len(cells) in places], dtype=torch.long)
            if (depths is None or len(depths)) and (chosen is None or len(chosen)):
                result.append((cell, depths, chosen))
    return result


class MixedWeights:
    """Weights int8 [..., K, N] prepared for a grid of cells."""

    def __init__(self, weights: Tensor, grid: Grid) -> None:
        self.depth, self.channels = weights.shape[-2:]
        self.parts = []
        for cell, k, n in cell_groups(grid, weights.shape[-2], weights.shape[-1]):
            block = weights if k is None else weights[..., k, :]
            self.parts.append((PreparedWeights(block if n is None else block[..., n], cell), k, n))

    @property
    def largest_sum(self) -> int:
        """No sum of products, without a bias, has a larger magnitude."""
        return self.depth * max((part.largest_product for part, _, _ in self.parts), default=0)

    def matmul(self, activations: Tensor) -> Tensor:
        """Activations int8 [..., M, K] -> int32 [..., M, N]."""
        if len(self.parts) == 1:
            return self.parts[0][0].matmul(activations)
        shape = (*activations.shape[:-1], self.channels)
        total = torch.zeros(shape, dtype=torch.int32, device=activations.device)
        for prepared, k, n in self.parts:
            sums = prepared.matmul(activations if k is None else activations[..., k])
            if n is None:
                total += sums
            else:
                total[..., n] += sums
        return total
