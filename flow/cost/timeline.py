"""Every cycle of a weight-stationary array at work: loading, streaming, draining, with its real skew.

Letters: N cycles, R rows and C columns of processing elements, T rows of activations of a tile.

The accelerator's input register feeds the activation lanes and the weight lanes alike, and holds its
last beat: while weights are loaded they pass as activations too, and nothing moves while it drains.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from slipstick.rtl.cells.cell import Cell
from slipstick.rtl.spec.streams import TileStream


@dataclass(frozen=True)
class Timeline:
    """What the array sees for several tiles, one after another: R beats of weights, T of activations, R + C of none.

    ``beats`` int64 [N, max(R, C)] are the words of the input register, ``load`` bool [N] where they are weights;
    ``starts`` int [tiles] the cycles in which the tiles' first weights enter, ``lengths`` int [tiles] their T.
    """

    rows: int
    columns: int
    beats: np.ndarray
    load: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray

    @classmethod
    def of(cls, tiles: Sequence[TileStream], rows: int, columns: int) -> "Timeline":
        """The cycles of these tiles in an array of ``rows`` x ``columns``; smaller tiles are padded with zeros."""
        width = max(rows, columns)
        parts: list[np.ndarray] = []
        load: list[bool] = []
        starts: list[int] = []
        for tile in tiles:
            depth, channels = tile.weights.shape
            weights = np.zeros((rows, width), np.int64)
            weights[:depth, :channels] = tile.weights
            words = np.zeros((len(tile.activations), width), np.int64)
            words[:, :depth] = tile.activations
            starts.append(sum(len(part) for part in parts))
            parts += [weights[::-1], words, np.repeat(words[-1:], rows + columns, axis=0)]
            load += [True] * rows + [False] * (len(words) + rows + columns)
        lengths = np.array([len(tile.activations) for tile in tiles])
        return cls(rows, columns, np.concatenate(parts), np.array(load), np.array(starts), lengths)

    @property
    def waiting(self) -> int:
        """Cycles between the last row of a tile and the first of the next: drain and load."""
        return 2 * self.rows + self.columns

    @property
    def waiting_starts(self) -> np.ndarray:
        """Cycle in which the last row of each tile but the last reaches the first element, int [tiles - 1]."""
        return (self.starts + self.rows + self.lengths - 1)[:-1]

    @cached_property
    def activations(self) -> np.ndarray:
        """``activation_in`` of every element, int64 [N, R, C]."""
        delay = np.arange(self.rows)[:, None] + np.arange(self.columns)
        time = np.arange(len(self.beats))[:, None, None] - delay
        found = self.beats[np.maximum(time, 0), np.arange(self.rows)[:, None]]
        return np.where(time < 0, 0, found)

    @cached_property
    def weights(self) -> np.ndarray:
        """``weight_out`` of every element, its register, int64 [N, R, C]."""
        found = np.zeros((len(self.beats), self.rows, self.columns), np.int64)
        for now in range(len(self.beats) - 1):
            found[now + 1] = found[now]
            if self.load[now]:
                found[now + 1, 0] = self.beats[now, : self.columns]
                found[now + 1, 1:] = found[now, :-1]
        return found

    @property
    def weights_in(self) -> np.ndarray:
        """``weight_in`` of every element, int64 [N, R, C]."""
        return np.concatenate([self.beats[:, None, : self.columns], self.weights[:, :-1]], axis=1)

    def sums(self, cells: Sequence[Cell]) -> np.ndarray:
        """``sum_in`` of every element with these cells by column, then the column sums, int64 [N, R + 1, C]."""
        sums = np.zeros((len(self.beats), self.rows + 1, self.columns), np.int64)
        for column, cell in enumerate(cells):
            products = cell.table[self.activations[:, :, column] & 0xFF, self.weights[:, :, column] & 0xFF]
            for row in range(self.rows):
                sums[1:, row + 1, column] = sums[:-1, row, column] + products[:-1, row]
        return sums


def tile_cycles(rows: int, columns: int, active: float) -> float:
    """Cycles of one weight tile in the accelerator: ``rows`` of weights, ``active`` rows of activations, the drain."""
    return rows + active + rows + columns


def drain_cycles(columns: int, active: float) -> float:
    """Cycles of one drain of ``active`` accumulator rows.

    A beat for each column's bias, one that starts, and a row a cycle with three stages of pipeline.
    """
    return columns + 1 + active + 3


def boundary_timeline(tiles: Sequence[TileStream], rows: int) -> Timeline:
    """The changes from each tile to the next in an array of ``rows`` x ``rows``: first and last rows only.

    A single tile follows itself.
    """
    cut = [
        TileStream(tile.layer, np.concatenate([tile.activations[:2], tile.activations[-2:]]), tile.weights[:, :rows])
        for tile in (*tiles, tiles[0])
    ]
    return Timeline.of(cut, rows, rows)
