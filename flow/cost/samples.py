"""Which elements are simulated: at work, and between two tiles; drawn by shapes only, so all cells see the same."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from slipstick.errors import UserError
from slipstick.rtl.cells.cell import Cell
from slipstick.rtl.spec.streams import ElementSequences, TileStream

from .timeline import boundary_timeline

SAMPLES = 8192
"""Vectors simulated per cell and layer; Monte Carlo noise of the total is about 0.2 %."""
_WINDOW = 32
SETTLE = 1  # the sum register shows its first real value one cycle into a sequence
_SEED = 2026


@dataclass(frozen=True)
class WaitingWindows:
    """Elements between two tiles: ``sequences``, and ``weights_in`` int64 and ``load`` bool of the same shape."""

    sequences: ElementSequences
    weights_in: np.ndarray
    load: np.ndarray


def waiting_windows(streams: Sequence[TileStream], cell: Cell, rows: int, samples: int = SAMPLES) -> WaitingWindows:
    """Elements from a tile's last row of activations to the next tile's first, the weights' passage in between.

    In an array of ``rows`` x ``rows``: 3 ``rows`` counted cycles each. Drawn by shapes only, like ``sample_elements``.
    """
    line = boundary_timeline(streams, rows)
    starts, count = line.waiting_starts, line.waiting + 1 + SETTLE
    wanted = max(1, round(samples / line.waiting))
    rng = np.random.default_rng(_SEED)
    row, column = rng.integers(0, rows, (2, wanted))
    boundary = rng.permutation(wanted) % len(starts)
    times = (starts[boundary] + row + column - SETTLE)[:, None] + np.arange(count)
    sums = line.sums([cell] * rows)
    place = row[:, None], column[:, None]
    sequences = ElementSequences(*(x[times, *place] for x in (line.activations, line.weights, sums)))
    return WaitingWindows(sequences, line.weights_in[times, *place], line.load[times])


def sample_elements(streams: Sequence[TileStream], cell: Cell, samples: int = SAMPLES) -> ElementSequences:
    """Sequences of elements drawn evenly from all tiles and positions, about ``samples`` counted cycles.

    The draw depends on the shapes only, so all cells see the same elements and their differences carry
    no sampling noise. UserError when a tile streams fewer than three rows.
    """
    shortest = min(len(stream.activations) for stream in streams)
    if shortest < SETTLE + 2:
        raise UserError(
            f"a stream of layer {streams[0].layer!r} has {shortest} rows of activations; "
            f"record at least {SETTLE + 2}, from several images if need be"
        )
    length = min(_WINDOW + 1 + SETTLE, shortest)
    wanted = max(1, round(samples / (length - 1 - SETTLE) / len(streams)))
    rng = np.random.default_rng(_SEED)
    parts = []
    for stream in streams:
        rows, columns = stream.weights.shape
        places = np.concatenate([rng.permutation(rows * columns) for _ in range(-(-wanted // (rows * columns)))])
        places = places[:wanted]
        starts = rng.integers(0, len(stream.activations) - length + 1, wanted)
        parts.append(stream.element_sequences(cell, places // columns, places % columns, starts, length))
    return ElementSequences.join(parts)
