"""Approximate products in plain torch, for any device: where the compiled kernels do not serve.

Two paths give the same integers. Low-rank tables multiply looked-up factors in float32, with K split
so that every partial sum stays below 2^24, where float32 is exact. Any other table adds expanded
rows: ``rows[k * 256 + a, n] = table[a, w[k, n]]``, looked up with one index for all n.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor

from .factor import Factors

EXACT_BELOW = {torch.float32: 1 << 24, torch.float64: 1 << 53}
SUMS = {torch.float32: torch.int32, torch.float64: torch.int64}
FACTORS_AT_ONCE = 1 << 17  # looked-up factors in flight: 512 KiB, which stay in a core's cache
ROWS_AT_ONCE = 16  # expanded rows of this many k stay in a core's cache


def operand_bits(codes: Tensor, patterns: int) -> Tensor:
    """Codes as indices int32 into a table of so many (a power of two) bit patterns of an operand."""
    return codes.int() & (patterns - 1)


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Keep autocast, TF32 and bfloat16 shortcuts away from sums that must be exact."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


class FactoredWeights:
    """Weights int8 or int16 [..., K, N] looked up in the right factor once: r ordinary products a call.

    ``kind`` is the float type of the products: float32 gives int32 sums, float64 int64 sums.
    """

    def __init__(self, weights: Tensor, factors: Factors, kind: torch.dtype = torch.float32) -> None:
        device, self.depth, self.rank, self.kind = weights.device, weights.shape[-2], factors.rank, kind
        self.left = torch.tensor(factors.left, dtype=kind, device=device)
        right = torch.tensor(factors.right.T.copy(), dtype=kind, device=device)
        looked_up = F.embedding(operand_bits(weights, len(right)), right)  # [..., K, N, r]
        self.right = looked_up.movedim(-1, -2).flatten(-3, -2).contiguous()  # [..., K * r, N]
        self.chunk = max(1, (EXACT_BELOW[kind] - 1) // max(factors.bound, 1))

    def matmul(self, activations: Tensor) -> Tensor:
        """Activations [..., M, K] of the weights' type -> sums [..., M, N]."""
        with full_precision(activations.device):
            bits, right = operand_bits(activations, len(self.left)), self.right
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
            scratch = torch.empty(block * bits[0].numel(), self.rank, dtype=self.kind, device=bits.device)
            sums = []
            for part, factor in pairs:
                looked_up = torch.index_select(self.left, 0, part.flatten(), out=scratch[: part.numel()])
                sums.append(self._multiply(looked_up.view(*part.shape[:-1], -1), factor))
            return torch.cat(sums).unflatten(0, lead)

    def _multiply(self, left: Tensor, right: Tensor) -> Tensor:
        """Factors [..., M, K * r] times those of the weights, in exact chunks of K."""
        step, sums = self.chunk * self.rank, SUMS[self.kind]
        total = (left[..., :step] @ right[..., :step, :]).to(sums)
        for start in range(step, left.shape[-1], step):
            total = total + (left[..., start : start + step] @ right[..., start : start + step, :]).to(sums)
        return total


class ExpandedWeights:
    """Weights int8 [..., K, N] of any table int [256, 256] whose entries float32 holds."""

    def __init__(self, weights: Tensor, table: Tensor) -> None:
        self.weights, self.table = weights, table
        self.by_weight = table.T.float().contiguous()  # [w, a]

    def matmul(self, activations: Tensor) -> Tensor:
        """Activations int8 [..., M, K] -> sums int32 [..., M, N]."""
        if self.weights.ndim > 2:
            lead = torch.broadcast_shapes(activations.shape[:-2], self.weights.shape[:-2])
            left = activations.expand(*lead, -1, -1).flatten(0, -3)
            right = self.weights.expand(*lead, -1, -1).flatten(0, -3)
            parts = [ExpandedWeights(w, self.table).matmul(a) for a, w in zip(left, right, strict=True)]
            return torch.stack(parts).unflatten(0, lead)
        depth, channels = self.weights.shape
        left = operand_bits(activations, len(self.table)).flatten(0, -2)
        total = torch.zeros(len(left), channels, dtype=torch.int32, device=activations.device)
        with full_precision(activations.device):
            for start in range(0, depth, ROWS_AT_ONCE):
                weights = operand_bits(self.weights[start : start + ROWS_AT_ONCE], len(self.by_weight))  # [k, n]
                rows = F.embedding(weights, self.by_weight).movedim(-1, -2).flatten(0, 1).contiguous()
                offset = 256 * torch.arange(len(weights), dtype=torch.int32, device=left.device)
                index = (left[:, start : start + ROWS_AT_ONCE] + offset).contiguous()
                total += F.embedding_bag(index, rows, mode="sum").int()
        return total.unflatten(0, activations.shape[:-1])
