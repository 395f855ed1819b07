"""What the ports of an array's modules see, cycle by cycle, while a pass of a tile works and the next one loads.

Letters: T rows of activations, R rows and C columns of the array, L cycles of a pass.
"""

from dataclasses import dataclass, replace

import numpy as np

from slipstick.rtl.cells.cell import Cell
from slipstick.rtl.spec.cycles import pass_cycles
from slipstick.rtl.spec.streams import TileStream

WINDOW = 32
"""Rows of a longer pass that are simulated in a row: all of its rows are alike."""


def window(stream: TileStream, mesh: tuple[int, int], rng: np.random.Generator) -> TileStream:
    """Some rows of a tile's activations from a random one on, as many as hide the loading of the next weights."""
    count = max(WINDOW, pass_cycles(mesh, 0, len(stream.weights)))
    if len(stream.activations) <= count:
        return stream
    first = int(rng.integers(len(stream.activations) - count + 1))
    rows = slice(first, first + count)
    return replace(stream, activations=stream.activations[rows], earlier_activations=stream.earlier_activations[rows])


@dataclass(frozen=True)
class Pass:
    """One pass of ``stream`` in a mesh of tiles; passes like it come before and after."""

    stream: TileStream
    mesh: tuple[int, int]

    @property
    def count(self) -> int:
        """Rows of activations, T."""
        return len(self.stream.activations)

    @property
    def length(self) -> int:
        """Cycles, L."""
        return pass_cycles(self.mesh, self.count, len(self.stream.weights))

    @property
    def working(self) -> np.ndarray:
        """Whether a row of activations is taken, bool [L]."""
        return np.arange(self.length) < self.count

    def rows(self, values: np.ndarray) -> np.ndarray:
        """``values`` [T, ...] of the rows as a register shows them: the last one stays, [L, ...]."""
        return values[np.minimum(np.arange(self.length), self.count - 1)]

    def bus_activations(self) -> np.ndarray:
        """Activations of the beats, int8 [L, R]; beats without a row carry zeros."""
        return self.rows(self.stream.activations) * self.working[:, None]

    def bus_weights(self) -> np.ndarray:
        """Weights of the beats, int8 [L, C]: those that load, else zeros."""
        row = self.written
        return np.where(row[:, None] >= 0, self.stream.next_weights[row], 0).astype(np.int8)

    @property
    def written(self) -> np.ndarray:
        """The row of weights that a beat writes, int [L]; -1 for none."""
        row = np.arange(self.length) - sum(self.mesh)
        return np.where((row >= 0) & (row < len(self.stream.weights)), row, -1)

    def sums_before(self, cell: Cell) -> np.ndarray:
        """The words that the mesh adds to, int64 [L, C]."""
        return self.rows(self.stream.sums_before(cell))

    def sums_after(self, cell: Cell) -> np.ndarray:
        """What the mesh makes of them, int64 [L, C], at the time of the row."""
        return self.rows(self.stream.sums_after(cell))
