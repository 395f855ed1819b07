from dataclasses import replace

import numpy as np
import pytest

from slipstick.errors import UserError
from slipstick.rtl.cells import cell
from slipstick.rtl.spec.array import ArrayConfig, CellMix, matmul
from slipstick.rtl.spec.streams import TileStream, table_product


@pytest.fixture
def stream():
    rng = np.random.default_rng(0)
    return TileStream(
        "layer", rng.integers(-128, 128, (9, 4)).astype(np.int8), rng.integers(-127, 128, (4, 3)).astype(np.int8)
    )


@pytest.mark.parametrize("name", ["exact8s", "drum8s_k3", "truncated8s_k7_c1"])
def test_sums_after_a_tile_are_what_the_array_computes(stream, name):
    config = ArrayConfig(4, 3, CellMix.uniform(cell(name), rows=4, columns=3))
    assert (stream.sums_after(cell(name)) == matmul(config, stream.activations, stream.weights)).all()
    assert (stream.products(cell(name)).sum(1) == stream.sums_after(cell(name))).all()


def test_sums_start_from_the_bias_and_the_tiles_before(stream):
    rng, one = np.random.default_rng(1), cell("drum8s_k3")
    earlier = rng.integers(-128, 128, (9, 5)).astype(np.int8), rng.integers(-127, 128, (5, 3)).astype(np.int8)
    bias = np.array([5, -7, 100])
    later = replace(stream, earlier_activations=earlier[0], earlier_weights=earlier[1], bias=bias)
    before = later.sums_before(one)
    assert (before == table_product(one, *earlier) + bias).all()
    assert (later.sums_before(one, slice(1, 3)) == before[:, 1:]).all()
    assert (later.sums_after(one) == before + stream.sums_after(one)).all()


@pytest.mark.parametrize(
    ("activations", "weights", "problem"),
    [
        (np.zeros((4, 3), np.int16), np.zeros((3, 2), np.int8), "must be int8"),
        (np.zeros((4, 3), np.int8), np.zeros((2, 2), np.int8), "are not"),
        (np.zeros((0, 3), np.int8), np.zeros((3, 2), np.int8), "are not"),
    ],
)
def test_bad_shapes_and_types_are_named(activations, weights, problem):
    with pytest.raises(UserError, match=problem):
        TileStream("layer", activations, weights)
