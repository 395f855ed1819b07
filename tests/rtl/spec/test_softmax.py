"""Integer softmax: one contract for Python integers and NumPy, near the real function."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstick.errors import UserError
from slipstick.rtl.spec.fixed import Requant, choose
from slipstick.rtl.spec.pwl import PwlFormat, PwlTable
from slipstick.rtl.spec.rows import leading_one
from slipstick.rtl.spec.softmax import SoftmaxSpec
from tests.rtl.spec.tables import EXPONENTIAL, RECIPROCAL

SCALE = 2e-5
LENGTH = 65


def spec(fraction: int = 7) -> SoftmaxSpec:
    found = Requant.from_scale(np.array([SCALE * 2**EXPONENTIAL.input_fraction]))
    return SoftmaxSpec(int(found.multiplier[0]), int(found.shift[0]), EXPONENTIAL, RECIPROCAL, LENGTH, fraction)


def by_integers(one: SoftmaxSpec, row: list[int]) -> list[int]:
    """The contract in Python integers, which have no width."""
    exponentials = [max(one.exponential(one.input_code(x, max(row), choose)), 0) for x in row]
    total = sum(exponentials)
    place = total.bit_length() - 1
    reciprocal = one.reciprocal(one.mantissa(total, place))
    return [one.probability(e, reciprocal, place, choose) for e in exponentials]


@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=LENGTH))
def test_numpy_computes_the_contract_of_python_integers(row):
    one = spec()
    assert one(np.array(row, np.int64)).tolist() == by_integers(one, row)


@pytest.mark.parametrize("row", [[0] * LENGTH, [2**31 - 1] + [-(2**31)] * (LENGTH - 1), [-(2**31)] * LENGTH])
def test_corner_rows_keep_within_the_proved_width_of_the_sum(row):
    one = spec()
    exponentials = np.maximum(EXPONENTIAL.results, 0)[: -EXPONENTIAL.input_range[0] + 1]
    assert exponentials.max() * LENGTH < 1 << one.sum_width
    assert one(np.array(row, np.int64)).tolist() == by_integers(one, row)


def test_probabilities_are_near_those_of_the_real_function():
    rows = np.random.default_rng(0).integers(-200_000, 200_000, (200, LENGTH))
    found = spec(8)(rows) / 2**8
    assert np.abs(found - np.minimum(spec().reference(rows, SCALE), 127 / 256)).max() < 0.02


@given(st.integers(1, 2**40 - 1))
def test_the_leading_one_is_the_floor_of_the_logarithm(value):
    assert leading_one(value, 40, choose) == value.bit_length() - 1
    assert leading_one(np.array([value]), 40, np.where).tolist() == [value.bit_length() - 1]


def test_tables_that_could_leave_a_row_without_a_sum_are_refused():
    nothing = PwlTable("zero", 4, (0,), (0, 0), (0, 0))
    with pytest.raises(UserError, match="sum to nothing"):
        SoftmaxSpec(1, 1, nothing, RECIPROCAL, 4)
    narrow = PwlTable("narrow", 8, (0,), (0, 0), (64, 64), PwlFormat(), 9)
    with pytest.raises(UserError, match="mantissas up to 2"):
        SoftmaxSpec(1, 1, EXPONENTIAL, narrow, 4)
    with pytest.raises(UserError, match="fraction bits"):
        SoftmaxSpec(1, 1, EXPONENTIAL, RECIPROCAL, 4, 40)
