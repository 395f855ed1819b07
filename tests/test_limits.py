"""Numbers that a user gives: what lies outside is refused with its name and what is allowed."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstick.errors import UserError
from slipstick.limits import CLOCK_MHZ, COUNT, Limits, whole_number, whole_numbers


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0, -1, 1e9])
def test_what_no_clock_can_be_is_refused(value: float) -> None:
    with pytest.raises(UserError, match="--clock-mhz .*: must be above 0 and at most 100000"):
        CLOCK_MHZ.check("--clock-mhz", value)


def test_the_ends_are_allowed_unless_the_least_is_not() -> None:
    for value in (1, 10**9):
        COUNT.check("--trials", value)
    Limits(0, 1).check("--share", 0)
    with pytest.raises(UserError, match="--share 0: must be above 0 and at most 1"):
        Limits(0, 1, above=True).check("--share", 0)


@given(st.one_of(
    st.text(max_size=9), st.integers().map(str), st.sampled_from(["²", "٣", "9" * 5000, "-" * 5000, "1_0", "0x1", ""]),
    st.integers(0, 9).map(lambda n: f" +{n} "),
))  # fmt: skip
def test_a_text_is_a_whole_number_within_limits_or_refused_by_name(text: str) -> None:
    limits = Limits(-3, 1000)
    try:
        assert limits.least <= whole_number(text, "--option", limits) == int(text) <= limits.most
    except UserError as error:
        assert str(error).startswith("--option ") and len(str(error)) < 120
        digits = text.strip().removeprefix("-").removeprefix("+")
        assert not (digits.isascii() and digits.isdigit() and len(digits) < 9 and -3 <= int(text) <= 1000)


def test_lists_of_whole_numbers() -> None:
    assert whole_numbers(" 3, 5,", "--blocks", COUNT) == (3, 5)
    for text in ("", " , ", "3;5", "3,x", "0"):
        with pytest.raises(UserError, match="--blocks "):
            whole_numbers(text, "--blocks", COUNT)
