"""The timeline is what the systolic array does, cycle by cycle."""

import numpy as np

from slipstick.flow.cost.timeline import Timeline, boundary_timeline
from slipstick.rtl.cells import cell
from tests.flow.cost.operands import tile

ROWS, COLUMNS = 3, 4
TILES = [tile("x", seed, rows=ROWS, columns=COLUMNS, length=5 + seed) for seed in range(3)]


def test_every_row_of_activations_leaves_as_its_products_sums() -> None:
    line = Timeline.of(TILES, ROWS, COLUMNS)
    one = cell("drum8s_k4")
    sums = line.sums([one] * COLUMNS)
    for start, stream in zip(line.starts, TILES, strict=True):
        expected = stream.column_sums(one)
        for column in range(COLUMNS):
            first = start + ROWS + ROWS + column  # after the load, R cycles down, one to the right a column
            assert (sums[first : first + len(expected), ROWS, column] == expected[:, column]).all()


def test_each_step_follows_from_the_one_before() -> None:
    line = Timeline.of(TILES, ROWS, COLUMNS)
    a, w, w_in = line.activations, line.weights, line.weights_in
    assert (a[1:, :, 1:] == a[:-1, :, :-1]).all()  # to the right, a cycle an element
    assert (w[1:][line.load[:-1]] == w_in[:-1][line.load[:-1]]).all()
    assert (w[1:][~line.load[:-1]] == w[:-1][~line.load[:-1]]).all()
    for start, stream in zip(line.starts, TILES, strict=True):
        assert (w[start + ROWS] == stream.weights).all()


def test_small_tiles_are_padded_with_zeros() -> None:
    line = Timeline.of([tile("x", 0, rows=2, columns=3, length=4)], ROWS, COLUMNS)
    assert (line.weights[-1, 2] == 0).all() and (line.weights[-1, :, 3] == 0).all()
    assert (line.beats[ROWS:, 2:] == 0).all()


def test_between_two_tiles_all_drains_before_weights_move() -> None:
    line = boundary_timeline(TILES, ROWS)
    first = line.waiting_starts[0]
    assert (line.beats[first] == line.beats[first + 2 * ROWS]).all() and line.load[first + 2 * ROWS + 1]
    assert line.starts[1] == first + 2 * ROWS + 1 and not line.load[first : line.starts[1]].any()
    assert np.count_nonzero(line.load) == ROWS * (len(TILES) + 1)
