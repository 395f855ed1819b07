"""Cells by attention head, beside the grids that go by row and column of the array."""

from dataclasses import dataclass

import torch
from torch import Tensor

from slipstick.rtl.cells.cell import Cell

from .mixed import Grid, MixedWeights


@dataclass(frozen=True)
class PerHead:
    """A rule for a product of attention: head h runs on entry h modulo their number."""

    cells: tuple[str | Cell, ...]


@dataclass(frozen=True)
class HeadGrids:
    """One grid a head; head h uses entry h modulo their number."""

    grids: tuple[Grid, ...]


def multiply_heads(codes: Tensor, stationary: Tensor, heads: HeadGrids) -> Tensor:
    """int8 [..., H, M, K] and int8 [..., H, K, N] -> int32 [..., H, M, N], each head on its cells."""
    lead = torch.broadcast_shapes(codes.shape[:-2], stationary.shape[:-2])
    codes, stationary = codes.expand(*lead, -1, -1), stationary.expand(*lead, -1, -1)
    shape = (*codes.shape[:-1], stationary.shape[-1])
    total = torch.empty(shape, dtype=torch.int32, device=codes.device)
    step = len(heads.grids)
    for first, grid in enumerate(heads.grids[: lead[-1]]):
        own = slice(first, None, step)
        total[..., own, :, :] = MixedWeights(stationary[..., own, :, :], grid).matmul(codes[..., own, :, :])
    return total
