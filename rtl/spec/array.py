"""Which cell sits where, how wide the sums are, and what the array computes: the integer truth.

Letters: R rows (reduction), C columns (output channels), M x K activations, K x N weights.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from slipstick.errors import UserError

from ..cells.cell import Cell
from ..cells.wrapped import for_arrays
from .widths import signed_width


@dataclass(frozen=True)
class CellMix:
    """The cell of every processing element: ``grid[row][column]``."""

    grid: tuple[tuple[Cell, ...], ...]

    @classmethod
    def uniform(cls, cell: Cell, *, rows: int, columns: int) -> "CellMix":
        """The same cell everywhere."""
        return cls.by_column([cell] * max(columns, 0), rows=rows, columns=columns)

    @classmethod
    def by_column(cls, cells: Sequence[Cell], *, rows: int, columns: int) -> "CellMix":
        """One cell a column; UserError unless there is exactly one for each."""
        _check_size(rows, columns)
        if len(cells) != columns:
            raise UserError(f"the mix names {len(cells)} columns, the array has {columns}")
        return cls((tuple(cells),) * rows)

    def at(self, row: int, column: int) -> Cell:
        """The cell of one processing element."""
        return self.grid[row][column]


def _check_size(rows: int, columns: int) -> None:
    if rows < 1 or columns < 1:
        raise UserError(f"an array needs at least one row and one column, not {rows} x {columns}")


@dataclass(frozen=True)
class ArrayConfig:
    """A weight-stationary array of R x C processing elements; 8-bit operands.

    Unsigned cells of the mix become signed ones between negations. Raises UserError when the mix is not R x C or a
    cell is not 8 x 8.
    """

    rows: int
    columns: int
    mix: CellMix

    def __post_init__(self) -> None:
        _check_size(self.rows, self.columns)
        sizes = {len(row) for row in self.mix.grid}
        if len(self.mix.grid) != self.rows or sizes != {self.columns}:
            raise UserError(f"the mix is {len(self.mix.grid)} x {sizes}, the array {self.rows} x {self.columns}")
        grid = tuple(tuple(for_arrays(cell) for cell in row) for row in self.mix.grid)
        object.__setattr__(self, "mix", CellMix(grid))

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """Distinct cells, in order of first appearance."""
        return tuple({cell.name: cell for row in self.mix.grid for cell in row}.values())

    def column_cells(self, column: int) -> tuple[Cell, ...]:
        """The cells of a column, top to bottom."""
        return tuple(row[column] for row in self.mix.grid)

    def partial_sum_width(self, column: int) -> int:
        """Two's complement bits that hold every sum of a prefix of the column's rows, for any operands."""
        return signed_width(*sum_range(self.column_cells(column)))

    def accumulator_width(self, column: int, depth: int) -> int:
        """Bits that hold the sum over ``depth`` tiles of R rows and an int32-free bias of equal range.

        One bit more than the sums themselves need, so that a bias as large as any sum still fits.
        """
        low, high = sum_range(self.column_cells(column))
        return signed_width(2 * low * depth, 2 * high * depth)

    def describe(self) -> str:
        """Such as ``16 x 16: 10 x exact8s + 6 x drum8s_k4`` where every column is uniform."""
        tops = Counter(self.mix.at(0, column).name for column in range(self.columns))
        return f"{self.rows} x {self.columns}: " + " + ".join(f"{count} x {name}" for name, count in tops.items())


def padding_sums(config: ArrayConfig, depth: int, channels: int, columns: Sequence[int]) -> np.ndarray:
    """What the padding rows of the last tile add to each output channel, int64 [N]."""
    padding = range(depth % config.rows or config.rows, config.rows)
    zeros = [sum(int(config.mix.at(row, column).table[0, 0]) for row in padding) for column in columns]
    return np.array([zeros[n % len(columns)] for n in range(channels)], np.int64)


def sum_range(cells: Sequence[Cell]) -> tuple[int, int]:
    """Least and greatest value of any prefix sum of one product of each cell, zero included."""
    low = high = least = greatest = 0
    for cell in cells:
        low, high = low + int(cell.table.min()), high + int(cell.table.max())
        least, greatest = min(least, low), max(greatest, high)
    return least, greatest


def matmul(
    config: ArrayConfig, activations: np.ndarray, weights: np.ndarray, columns: Sequence[int] | None = None
) -> np.ndarray:
    """What the array computes, by the plain loop over tables: int8 [M, K], int8 [K, N] -> int64 [M, N].

    Output channel n uses column ``columns[n % len(columns)]``; reduction index k uses row k % R.
    Rows that only pad the last tile add nothing.
    """
    columns = tuple(columns) if columns is not None else tuple(range(config.columns))
    a, w = activations.astype(np.uint8), weights.astype(np.uint8)
    result = np.zeros((a.shape[0], w.shape[1]), np.int64)
    for k in range(a.shape[1]):
        for group, column in enumerate(columns):
            table = config.mix.at(k % config.rows, column).table
            result[:, group :: len(columns)] += table[a[:, k, None], w[k, None, group :: len(columns)]]
    return result
