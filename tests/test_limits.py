"""Numbers that a user gives: what lies outside is refused with its name and what is allowed."""

import math

import pytest

from slipstick.errors import UserError
from slipstick.limits import CLOCK_MHZ, COUNT, Limits


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
