"""An activation of accumulators: requantise, table, requantise; constants that do not fit are refused."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstick.errors import UserError
from slipstick.rtl.spec.activation import ActivationSpec
from slipstick.rtl.spec.fixed import Requant
from tests.rtl.tables import chords

TABLE = chords("gelu", 6, 8, 10)
CODES = TABLE.input_range


def constants(
    multiplier: int, shift: int, low: int = -128, high: int = 127, zero: int = 0, channels: int = 1
) -> Requant:
    return Requant(np.full(channels, multiplier), np.full(channels, shift), zero, low, high)


def rounded(value: int, multiplier: int, shift: int, low: int, high: int) -> int:
    return min(max(floor(Fraction(value * multiplier, 1 << shift) + Fraction(1, 2)), low), high)


@given(st.integers(-(1 << 31), (1 << 31) - 1), st.integers(0, 65535), st.integers(1, 63), st.integers(0, 65535))
def test_an_output_is_the_definitions(accumulator: int, multiplier: int, shift: int, factor: int) -> None:
    spec = ActivationSpec(constants(multiplier, shift, *CODES), TABLE, constants(factor, 20))
    wanted = rounded(TABLE(rounded(accumulator, multiplier, shift, *CODES)), factor, 20, -128, 127)
    assert spec(np.array([accumulator])).tolist() == [wanted]


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (constants(1, 1), constants(1, 1), "codes -128 to 127 for a table of 10 bits"),
        (constants(1, 1, *CODES, zero=1), constants(1, 1), "zero points"),
        (constants(1, 1, *CODES), constants(1, 1, zero=1), "zero points"),
        (constants(1, 1, *CODES), constants(1, 1, channels=2), "more than one output scale"),
    ],
)
def test_requantisers_that_do_not_fit_the_table_are_refused(before: Requant, after: Requant, message: str) -> None:
    with pytest.raises(UserError, match=message):
        ActivationSpec(before, TABLE, after)
