"""What a weight-stationary array really sees: one weight tile and the activations that stream past it.

Letters: T rows of activations, R rows and C columns of processing elements, S sampled elements, L
consecutive rows of a sample.
"""

from dataclasses import dataclass

import numpy as np

from slipstick.errors import UserError

from ..cells.cell import Cell


@dataclass(frozen=True)
class TileStream:
    """One weight tile of a layer at work: ``activations`` int8 [T, R], one row a cycle, ``weights`` int8 [R, C].

    Row r of the array holds ``weights[r]`` and sees ``activations[:, r]`` in this order. Raises
    UserError for other shapes and types.
    """

    layer: str
    activations: np.ndarray
    weights: np.ndarray

    def __post_init__(self) -> None:
        a, w = self.activations, self.weights
        if a.dtype != np.int8 or w.dtype != np.int8:
            raise UserError(f"stream of {self.layer!r}: operands must be int8, not {a.dtype} and {w.dtype}")
        if a.ndim != 2 or w.ndim != 2 or a.shape[1] != w.shape[0] or 0 in a.shape + w.shape:
            raise UserError(f"stream of {self.layer!r}: {a.shape} and {w.shape} are not [T, R] and [R, C]")

    def products(self, cell: Cell) -> np.ndarray:
        """Every product of a signed 8 x 8 cell, int32 [T, R, C]."""
        return cell.table[self.activations.astype(np.uint8)[:, :, None], self.weights.astype(np.uint8)[None]]

    def partial_sums(self, cell: Cell) -> np.ndarray:
        """What leaves every element downwards, int64 [T, R, C]; the last row holds the column sums."""
        return self.products(cell).cumsum(axis=1, dtype=np.int64)

    def column_sums(self, cell: Cell) -> np.ndarray:
        """What leaves the array, int64 [T, C]."""
        return self.products(cell).sum(axis=1, dtype=np.int64)

    def element_sequences(
        self, cell: Cell, rows: np.ndarray, columns: np.ndarray, starts: np.ndarray, length: int
    ) -> "ElementSequences":
        """Inputs of S elements at ``rows`` [S], ``columns`` [S] for ``length`` rows from ``starts`` [S].

        The array's skew delays an element's activation and its sum alike, so the two always belong to
        the same row of activations.
        """
        times = starts[:, None] + np.arange(length)
        activations = self.activations.astype(np.uint8)[times]  # [S, L, R]
        weights = self.weights.astype(np.uint8)[:, columns].T  # [S, R]
        products = cell.table[activations, weights[:, None, :]]
        above = np.arange(self.activations.shape[1]) < rows[:, None]
        sums = (products * above[:, None, :]).sum(axis=2, dtype=np.int64)
        element = np.arange(len(rows))
        activation = self.activations[times, rows[:, None]].astype(np.int64)
        weight = np.broadcast_to(self.weights[rows, columns].astype(np.int64)[element, None], activation.shape)
        return ElementSequences(activation, weight, sums)


@dataclass(frozen=True)
class ElementSequences:
    """Inputs of S processing elements over L cycles: ``activation``, ``weight``, ``sum_in``, int64 [S, L]."""

    activation: np.ndarray
    weight: np.ndarray
    sum_in: np.ndarray

    @staticmethod
    def join(parts: "list[ElementSequences]") -> "ElementSequences":
        """The elements of several tiles together."""
        return ElementSequences(
            *(np.concatenate([getattr(part, name) for part in parts]) for name in ("activation", "weight", "sum_in"))
        )
