"""The residual sum: whole numbers, NumPy and the written definition agree; constants out of range are refused."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstick.errors import UserError
from slipstick.rtl.spec.residual import HIGH, LOW, ResidualSpec, residual

BOUND = 1 << 31


def limited(value: int) -> int:
    return min(max(value, LOW), HIGH)


@given(st.integers(LOW, HIGH), st.integers(-BOUND, BOUND - 1), st.integers(0, 65535), st.integers(1, 63))
def test_all_readings_agree_with_the_definition(x: int, accumulator: int, multiplier: int, shift: int) -> None:
    rounded = floor(Fraction(accumulator * multiplier, 1 << shift) + Fraction(1, 2))
    wanted = limited(x + limited(rounded))
    assert residual(x, accumulator, multiplier, shift) == wanted
    spec = ResidualSpec(np.array([multiplier]), np.array([shift]))
    assert spec(np.array([x]), np.array([accumulator])).tolist() == [wanted]


@pytest.mark.parametrize(
    ("multiplier", "shift"), [([65536], [1]), ([-1], [1]), ([1], [0]), ([1], [64]), ([1, 2], [1]), ([], [])]
)
def test_constants_out_of_range_are_refused(multiplier: list[int], shift: list[int]) -> None:
    with pytest.raises(UserError, match="residual: "):
        ResidualSpec(np.array(multiplier, np.int64), np.array(shift, np.int64))
