"""Approximate matrix products: int8 operands, any cell, exact int32 sums.

Two paths give the same integers. Low-rank tables multiply looked-up factors in float32, with K split
so that every partial sum stays below 2^24, where float32 is exact. Any other table adds expanded
rows: ``rows[k * 256 + a, n] = table[a, w[k, n]]``, looked up with one index for all n.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor

from slipstick.rtl.cells.cell import Cell

from .factor import factors

EXACT_IN_FLOAT32 = 1 << 24
FACTORS_AT_ONCE = 1 << 17  # looked-up factors in flight: 512 KiB, which stay in a core's cache
ROWS_AT_ONCE = 16  # expanded rows of this many k stay in a core's cache
_TABLES: dict[tuple[str, str, torch.device], Tensor] = {}


def _on_device(cell: Cell, part: str, device: torch.device) -> Tensor:
    """A cell's table or factor as a float32 tensor, kept for each device."""
    key = (cell.digest, part, device)
    if key not in _TABLES:
        split = factors(cell)
        if part == "table":
            array = cell.table
        else:
            assert split is not None
            array = split.left if part == "left" else split.right.T.copy()
        _TABLES[key] = torch.tensor(array, dtype=torch.float32, device=device).contiguous()
    return _TABLES[key]


def is_exact(cell: Cell) -> bool:
    """Whether the cell never errs."""
    return cell.errors.wce == 0


def _bits(codes: Tensor) -> Tensor:
    return codes.contiguous().view(torch.uint8).int()


@contextmanager
def _full_precision(device: torch.device) -> Iterator[None]:
    """Keep autocast, TF32 and bfloat16 shortcuts away from sums that must be exact."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


class PreparedWeights:
    """Weights int8 [..., K, N] made ready for one cell; reusable for any activations."""

    def __init__(self, weights: Tensor, cell: Cell) -> None:
        self.cell, self.depth, self.channels = cell, weights.shape[-2], weights.shape[-1]
        split = None if is_exact(cell) else factors(cell)
        self.weights, self.expanded, self.chunk = weights, None, self.depth
        if is_exact(cell):
            self.rank, bound, self.expanded = 1, 1 << 14, weights.float()
        elif split is not None:
            self.rank, bound = split.rank, max(split.bound, 1)
            right = _on_device(cell, "right", weights.device)
            looked_up = F.embedding(_bits(weights), right)  # [..., K, N, r]
            self.expanded = looked_up.movedim(-1, -2).flatten(-3, -2).contiguous()  # [..., K * r, N]
        else:
            return
        self.chunk = max(1, (EXACT_IN_FLOAT32 - 1) // bound)

    def matmul(self, activations: Tensor) -> Tensor:
        """Activations int8 [..., M, K] -> sums int32 [..., M, N]."""
        if activations.shape[-1] != self.depth:
            raise ValueError(f"activations are {activations.shape[-1]} deep, weights {self.depth}")
        with _full_precision(activations.device):
            if self.expanded is None:
                return self._add_rows(activations)
            if is_exact(self.cell):
                return self._multiply(activations.float(), self.expanded)
            bits, left = _bits(activations), _on_device(self.cell, "left", activations.device)
            right = self.expanded
            if right.ndim > 2:  # one matrix a head
                lead = torch.broadcast_shapes(bits.shape[:-2], right.shape[:-2])
                bits, right = bits.expand(*lead, -1, -1).flatten(0, -3), right.expand(*lead, -1, -1).flatten(0, -3)
                block = max(1, FACTORS_AT_ONCE // (bits.shape[-2] * self.depth * self.rank))
                pairs = list(zip(bits.split(block), right.split(block), strict=True))
            else:
                lead = activations.shape[:-1]
                bits = bits.flatten(0, -2)
                block = max(1, FACTORS_AT_ONCE // (self.depth * self.rank))
                pairs = [(part, right) for part in bits.split(block)]
            scratch = torch.empty(block * bits[0].numel(), self.rank, device=bits.device)
            sums = []
            for part, factor in pairs:
                looked_up = torch.index_select(left, 0, part.flatten(), out=scratch[: part.numel()])
                sums.append(self._multiply(looked_up.view(*part.shape[:-1], -1), factor))
            return torch.cat(sums).unflatten(0, lead)

    def _multiply(self, left: Tensor, right: Tensor) -> Tensor:
        """Factors float32 [..., M, K * r] times those of the weights, in exact chunks of K."""
        step = self.chunk * self.rank
        total = None
        for start in range(0, left.shape[-1], step):
            part = (left[..., start : start + step] @ right[..., start : start + step, :]).int()
            total = part if total is None else total + part
        assert total is not None
        return total

    def _add_rows(self, activations: Tensor) -> Tensor:
        if self.weights.ndim > 2:
            lead = torch.broadcast_shapes(activations.shape[:-2], self.weights.shape[:-2])
            left = activations.expand(*lead, -1, -1).flatten(0, -3)
            right = self.weights.expand(*lead, -1, -1).flatten(0, -3)
            parts = [PreparedWeights(w, self.cell).matmul(a) for a, w in zip(left, right, strict=True)]
            return torch.stack(parts).unflatten(0, lead)
        table = _on_device(self.cell, "table", activations.device).T.contiguous()  # [w, a]
        left = _bits(activations).flatten(0, -2)
        total = torch.zeros(len(left), self.channels, dtype=torch.int32, device=activations.device)
        for start in range(0, self.depth, ROWS_AT_ONCE):
            weights = _bits(self.weights[start : start + ROWS_AT_ONCE])  # [k, n]
            rows = F.embedding(weights, table).movedim(-1, -2).flatten(0, 1).contiguous()  # [k * 256 + a, n]
            offset = 256 * torch.arange(len(weights), dtype=torch.int32, device=left.device)
            index = (left[:, start : start + ROWS_AT_ONCE] + offset).contiguous()
            total += F.embedding_bag(index, rows, mode="sum").int()
        return total.unflatten(0, activations.shape[:-1])


def approx_matmul(activations: Tensor, weights: Tensor, cell: Cell) -> Tensor:
    """``sum_k table[a[m, k], w[k, n]]``: int8 [..., M, K], int8 [..., K, N] -> int32 [..., M, N]."""
    return PreparedWeights(weights, cell).matmul(activations)
