"""What a weight-stationary array really sees: one weight tile and the activations that stream past it.

Letters: T rows of activations, R rows and C columns of the array, K earlier reduction indices.
"""

from dataclasses import dataclass, field

import numpy as np

from slipstick.errors import UserError

from ..cells.cell import Cell
from .fixed import Requant

ALL = slice(None)


def _nothing() -> np.ndarray:
    return np.zeros((0, 0), np.int8)


@dataclass(frozen=True)
class TileStream:
    """One weight tile of a layer at work: ``activations`` int8 [T, R], one row a cycle, ``weights`` int8 [R, C].

    Row r of the array holds ``weights[r]`` and sees ``activations[:, r]`` in this order. What came before in the
    same accumulators are ``earlier_activations`` int8 [T, K] and ``earlier_weights`` int8 [K, C], added to ``bias``
    int [C]; K is 0 for the first tile. ``next_weights`` int8 [R, C] load meanwhile; ``requant`` of C channels makes
    outputs of the sums. Raises UserError for other shapes and types.
    """

    layer: str
    activations: np.ndarray
    weights: np.ndarray
    earlier_activations: np.ndarray = field(default_factory=_nothing)
    earlier_weights: np.ndarray = field(default_factory=_nothing)
    bias: np.ndarray = field(default_factory=_nothing)
    next_weights: np.ndarray = field(default_factory=_nothing)
    requant: Requant | None = None

    def __post_init__(self) -> None:
        a, w = self.activations, self.weights
        if a.dtype != np.int8 or w.dtype != np.int8:
            raise UserError(f"stream of {self.layer!r}: operands must be int8, not {a.dtype} and {w.dtype}")
        if a.ndim != 2 or w.ndim != 2 or a.shape[1] != w.shape[0] or 0 in a.shape + w.shape:
            raise UserError(f"stream of {self.layer!r}: {a.shape} and {w.shape} are not [T, R] and [R, C]")
        columns = w.shape[1]
        defaults = {
            "earlier_activations": np.zeros((len(a), 0), np.int8), "earlier_weights": np.zeros((0, columns), np.int8),
            "bias": np.zeros(columns, np.int64), "next_weights": w,
        }  # fmt: skip
        for name, default in defaults.items():
            if not getattr(self, name).size:
                object.__setattr__(self, name, default)
        shapes = self.earlier_activations.shape, self.earlier_weights.shape, self.bias.shape, self.next_weights.shape
        if shapes != ((len(a), shapes[1][0]), (shapes[0][1], columns), (columns,), w.shape):
            raise UserError(f"stream of {self.layer!r}: what comes before and after has shapes {shapes}")

    @property
    def columns(self) -> int:
        """Columns of the array, C."""
        return self.weights.shape[1]

    def products(self, cell: Cell) -> np.ndarray:
        """Every product of a signed 8 x 8 cell, int32 [T, R, C]."""
        return cell.table[self.activations.astype(np.uint8)[:, :, None], self.weights.astype(np.uint8)[None]]

    def sums_before(self, cell: Cell, columns: slice = ALL) -> np.ndarray:
        """What the accumulators of some columns hold when this tile begins, int64 [T, columns]."""
        return table_product(cell, self.earlier_activations, self.earlier_weights[:, columns]) + self.bias[columns]

    def sums_after(self, cell: Cell) -> np.ndarray:
        """What they hold after it, int64 [T, C]."""
        return self.sums_before(cell) + table_product(cell, self.activations, self.weights)


def table_product(cell: Cell, activations: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """int8 [M, K] by int8 [K, N] with a cell's products, int64 [M, N]."""
    total = np.zeros((len(activations), weights.shape[1]), np.int64)
    for a, w in zip(activations.astype(np.uint8).T, weights.astype(np.uint8), strict=True):
        total += cell.table[a[:, None], w[None]]
    return total
