"""Approximate matrix products: int8 operands, any cell, exact int32 sums.

``approx_matmul`` is the entry. Which path computes a product is decided by device, exact rank of the
cell's table and number of rows; all paths give the same integers:

- compiled, factors: ``r`` integer products of 16-bit factors (rank 1 runs faster than a float32 product);
- compiled, table: adds expanded rows of the table, whatever it holds;
- plain torch, the same two ideas, on any other device and where there is no compiler.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from slipstick.errors import UserError
from slipstick.rtl.cells.cell import Cell, operand_values

from .kernels.factor import Factors, stored_factors, wide_factors
from .kernels.ops import available, factor_gemm, factor_pack, table_gemm
from .kernels.torch_gemm import ExpandedWeights, FactoredWeights

INT16 = 1 << 15
ALWAYS_FACTORS = 2  # up to this rank factors beat the table kernel for any number of rows (nox -s bench)
EXPANSION = 150  # the table kernel writes rows before it adds: as long as so many rows of one more rank take


def is_exact(cell: Cell) -> bool:
    """Whether the cell never errs."""
    return cell.errors.wce == 0


@lru_cache(maxsize=256)
def full_table(cell: Cell) -> np.ndarray:
    """Products for int8 codes, by their bits: int32 [256, 256].

    Operands narrower than 8 bits take the codes of their range; UserError for wider ones.
    """
    if max(cell.widths) > 8:
        raise UserError(f"cell {cell.name!r} has operands of {cell.widths} bits; int8 products take up to 8")
    codes = np.arange(256, dtype=np.uint8)
    a, w = (codes & ((1 << width) - 1) for width in cell.widths)
    return np.ascontiguousarray(cell.table[np.ix_(a, w)])


@lru_cache(maxsize=256)
def factors(cell: Cell) -> Factors | None:
    """Exact factors of the table, computed once a process; None when the rank is too large to pay."""
    return stored_factors(full_table(cell))


@dataclass(frozen=True)
class KernelTables:
    """What the compiled kernels need of one cell: factors that fit int16, or None, and the table by rows.

    ``left``, ``right`` int16 [256, r]; ``entries`` uint16 [256, 256] by weight, then by ``index`` of the
    activation: neighbours in value are neighbours in memory, so the rows that a layer needs lie together.
    """

    left: Tensor | None
    right: Tensor | None
    entries: Tensor
    index: Tensor
    bias: int
    group: int

    def prefers_factors(self, rows: int) -> bool:
        """Whether r products of ``rows`` rows are faster than expanding and adding."""
        return self.left is not None and self.left.shape[1] <= ALWAYS_FACTORS + EXPANSION / rows


@lru_cache(maxsize=256)
def kernel_tables(cell: Cell) -> KernelTables | None:
    """Tables for the compiled kernels; None for a table that spans more than 16 bits."""
    table, split = full_table(cell).astype(np.int64), factors(cell)
    lowest, span = int(table.min()), int(np.ptp(table))
    if span >= 1 << 16:
        return None
    by_value = np.argsort(operand_values(8, True))  # codes in order of their value
    left = right = None
    if split is not None and max(np.abs(split.left).max(), np.abs(split.right).max()) < INT16:
        left, right = (torch.from_numpy(part.astype(np.int16)) for part in (split.left, split.right.T.copy()))
    return KernelTables(
        left,
        right,
        torch.from_numpy(np.ascontiguousarray((table - lowest).astype(np.uint16)[by_value].T)),
        torch.from_numpy(np.argsort(by_value).astype(np.uint8)),
        -lowest,
        max(group for group in (1, 2, 4, 8) if group * span < 1 << 16 or group == 1),
    )


def check_range(codes: Tensor, width: int, signed: bool, what: str, cell: Cell) -> None:
    """UserError for codes of another type than the operand takes, or outside its range."""
    kind = torch.int8 if max(cell.widths) <= 8 else torch.int16
    if codes.dtype != kind:
        raise UserError(f"{what} are {codes.dtype}; cell {cell.name!r} takes {kind}")
    if width in (8, 16) or codes.numel() == 0:
        return
    values = operand_values(width, signed)
    if int(codes.min()) < values.min() or int(codes.max()) > values.max():
        raise UserError(f"{what} leave the {width}-bit range {values.min()} to {values.max()} of cell {cell.name!r}")


@lru_cache(maxsize=256)
def _largest_product(cell: Cell) -> int:
    return int(np.abs(full_table(cell).astype(np.int64)).max())


class PreparedWeights:
    """Weights int8 [..., K, N] made ready for one cell; reusable for any activations.

    Raises UserError for weights that are not int8 or leave the range of a narrow operand, and for a depth
    at which a sum might not fit int32.
    """

    def __init__(self, weights: Tensor, cell: Cell) -> None:
        self.cell, self.weights = cell, weights
        self.depth, self.channels = weights.shape[-2:]
        check_range(weights, cell.widths[1], cell.signed, "weights", cell)
        self.largest_product = _largest_product(cell)
        if self.depth * self.largest_product >= 1 << 31:
            raise UserError(
                f"sums of {self.depth} products of cell {cell.name!r}, up to {self.largest_product} each, "
                "may not fit int32; split the reduction"
            )
        self._tables = kernel_tables(cell) if available(weights.device) else None
        self._plain: FactoredWeights | ExpandedWeights | None = None
        self._packed: Tensor | None = None
        if self._tables is None:
            split = factors(cell)
            if split is not None:
                self._plain = FactoredWeights(weights, split)
            else:
                self._plain = ExpandedWeights(weights, torch.tensor(full_table(cell), device=weights.device))

    def matmul(self, activations: Tensor) -> Tensor:
        """Activations int8 [..., M, K] -> sums int32 [..., M, N].

        Raises ValueError for another depth, UserError for codes outside a narrow operand's range.
        """
        if activations.shape[-1] != self.depth:
            raise ValueError(f"activations are {activations.shape[-1]} deep, weights {self.depth}")
        check_range(activations, self.cell.widths[0], self.cell.signed, "activations", self.cell)
        if self._plain is not None:
            return self._plain.matmul(activations)
        own, given = self.weights.shape[:-2], activations.shape[:-2]
        extra = given[: len(given) - len(own)]
        if given[len(extra) :] != own:  # one of the two repeats
            both = torch.broadcast_shapes(own, given)
            repeated = PreparedWeights(self.weights.expand(*both, -1, -1), self.cell)
            return repeated.matmul(activations.expand(*both, -1, -1))
        rows = activations.shape[-2]
        codes = activations.reshape(extra.numel(), own.numel(), rows, self.depth).transpose(0, 1).flatten(1, 2)
        sums = self._compiled(codes).unflatten(1, (extra.numel(), rows)).transpose(0, 1)
        return sums.reshape(*given, rows, self.channels)

    def _compiled(self, codes: Tensor) -> Tensor:
        """Codes int8 [B, M, K], one matrix each -> int32 [B, M, N]."""
        tables, weights = self._tables, self.weights.reshape(-1, self.depth, self.channels)
        assert tables is not None
        if not tables.prefers_factors(max(codes.shape[1], 1)):
            return table_gemm(codes, weights, tables.entries, tables.index, tables.bias, tables.group)
        assert tables.left is not None and tables.right is not None
        if self._packed is None:
            self._packed = factor_pack(weights, tables.right)
        return factor_gemm(codes, tables.left, self._packed, self.channels)


def approx_matmul(activations: Tensor, weights: Tensor, cell: Cell) -> Tensor:
    """``sum_k table[a[m, k], w[k, n]]``: int8 [..., M, K], int8 [..., K, N] -> int32 [..., M, N].

    A cell with an operand of 9 to 16 bits takes int16 and gives int64. ``weights`` may have one matrix for
    all leading dimensions or one for each. Raises ValueError for depths that differ; UserError for codes
    outside the range of the cell's operands, for sums that might not fit, and for a wide cell whose
    products have no exact factors of small rank.
    """
    if max(cell.widths) <= 8:
        return PreparedWeights(weights, cell).matmul(activations)
    check_range(activations, cell.widths[0], cell.signed, "activations", cell)
    check_range(weights, cell.widths[1], cell.signed, "weights", cell)
    return FactoredWeights(weights.short(), _kept_wide_factors(cell), torch.float64).matmul(activations.short())


@lru_cache(maxsize=16)
def _kept_wide_factors(cell: Cell) -> Factors:
    return wide_factors(cell)
