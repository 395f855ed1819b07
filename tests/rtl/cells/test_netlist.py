"""Tracing, folding and evaluating netlists."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstick.rtl.cells.bits import negate_if, prefix_add, ripple_add
from slipstick.rtl.cells.columns import carry_save_add, dadda_add, earliest_first_add, wallace_add
from slipstick.rtl.cells.leading import leading_one
from slipstick.rtl.cells.netlist import Netlist, pack_planes, unpack_planes


def test_constants_and_equal_gates_fold_away() -> None:
    def function(a, w):
        twice = (a[0] & w[0]) ^ (w[0] & a[0])
        return [twice, a[0] & 1, a[0] | 0, ~~a[1], a[0] ^ 1 ^ 1]

    netlist = Netlist.trace(function, (2, 2))
    assert netlist.gates == ()
    assert netlist.outputs == (0, 2, 2, 3, 2)


def test_gates_that_reach_no_output_are_dropped() -> None:
    def function(a, w):
        _ = a[1] & w[1]
        return [a[0] & w[0]]

    assert len(Netlist.trace(function, (2, 2)).gates) == 1


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=200), st.integers(1, 64))
def test_planes_pack_and_unpack(values: list[int], width: int) -> None:
    array = np.array(values, np.uint64) & np.uint64((1 << width) - 1)
    planes = pack_planes(array, width)
    for bit, plane in enumerate(planes):
        lanes = np.unpackbits(plane.view(np.uint8), count=len(array), bitorder="little")
        np.testing.assert_array_equal(lanes, (array >> np.uint64(bit)) & np.uint64(1))
    np.testing.assert_array_equal(unpack_planes(planes, len(array)), array)


def _all_pairs(function, widths=(6, 6)):
    a, w = (x.ravel() for x in np.meshgrid(np.arange(1 << widths[0]), np.arange(1 << widths[1]), indexing="ij"))
    return a, w, Netlist.trace(function, widths).evaluate(a, w).astype(np.int64)


@pytest.mark.parametrize("add", [ripple_add, prefix_add, lambda x, y: carry_save_add([x, y])])
def test_adders_add(add) -> None:
    a, w, total = _all_pairs(lambda a, w: add([*a, 0], [*w, 0]))
    np.testing.assert_array_equal(total, a + w)


def test_negation_is_conditional() -> None:
    a, w, result = _all_pairs(lambda a, w: negate_if(list(a), w[0]))
    np.testing.assert_array_equal(result, np.where(w & 1, -a, a) % 64)


def test_leading_one_is_one_hot() -> None:
    a, _, result = _all_pairs(lambda a, w: leading_one(list(a)))
    np.testing.assert_array_equal(result, np.where(a > 0, 1 << np.floor(np.log2(np.maximum(a, 1))).astype(int), 0))


@given(st.lists(st.lists(st.integers(0, 5), max_size=6), min_size=1, max_size=7))
def test_trees_sum_any_columns(layout: list[list[int]]) -> None:
    for tree in (dadda_add, wallace_add, earliest_first_add):
        a, _, total = _all_pairs(lambda a, w, tree=tree: tree([[a[i] for i in column] for column in layout]), (6, 1))
        wanted = sum((((a >> i) & 1) << weight for weight, column in enumerate(layout) for i in column), a * 0)
        np.testing.assert_array_equal(total, wanted % (1 << len(layout)))


def test_a_prefix_adder_is_shallow() -> None:
    def depth(add) -> int:
        netlist = Netlist.trace(lambda a, w: add(a, w), (16, 16))
        depths = [0] * netlist.first_gate
        for _, x, y in netlist.gates:
            depths.append(1 + max(depths[x], depths[y]))
        return max(depths)

    assert depth(prefix_add) <= 10 < 30 <= depth(ripple_add)
