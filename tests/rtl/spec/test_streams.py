import numpy as np
import pytest

from slipstick.errors import UserError
from slipstick.rtl.cells import cell
from slipstick.rtl.spec.array import ArrayConfig, CellMix, matmul
from slipstick.rtl.spec.streams import ElementSequences, TileStream


@pytest.fixture
def stream():
    rng = np.random.default_rng(0)
    return TileStream(
        "layer", rng.integers(-128, 128, (9, 4)).astype(np.int8), rng.integers(-127, 128, (4, 3)).astype(np.int8)
    )


@pytest.mark.parametrize("name", ["exact8s", "drum8s_k3", "truncated8s_k7_c1"])
def test_column_sums_are_what_the_array_computes(stream, name):
    config = ArrayConfig(4, 3, CellMix.uniform(cell(name), rows=4, columns=3))
    assert (stream.column_sums(cell(name)) == matmul(config, stream.activations, stream.weights)).all()
    assert (stream.partial_sums(cell(name))[:, -1] == stream.column_sums(cell(name))).all()


def test_element_sequences_follow_a_plain_loop(stream):
    one = cell("drum8s_k3")
    rows, columns, starts = np.array([0, 3, 2]), np.array([2, 0, 1]), np.array([0, 4, 1])
    found = stream.element_sequences(one, rows, columns, starts, 5)
    for s, (r, c, start) in enumerate(zip(rows, columns, starts, strict=True)):
        for t in range(5):
            a, w = stream.activations[start + t].astype(int), stream.weights[:, c].astype(int)
            assert found.activation[s, t] == a[r] and found.weight[s, t] == w[r]
            assert found.sum_in[s, t] == sum(int(one.table[a[k] & 255, w[k] & 255]) for k in range(r))
    joined = ElementSequences.join([found, found])
    assert joined.sum_in.shape == (6, 5)


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
