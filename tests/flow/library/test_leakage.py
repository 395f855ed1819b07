"""Leakage by state and supply, against a sum state by state."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstick.errors import UserError
from slipstick.flow.library.boolean import parse
from slipstick.flow.library.leakage import leakage

PINS = ("A", "B", "C")
STATES = [dict(zip(PINS, bits, strict=True)) for bits in itertools.product((0, 1), repeat=3)]


def holds(when, state):
    return bool(parse(when).evaluate(state, 1))


def expected(groups, whole, state):
    """What the file says of one state: the cell's own group, else the sum of its supplies, else the whole cell."""
    default = next((value for when, supply, value in groups if not when and not supply), None)
    whole = default if whole is None else whole
    for when, supply, value in groups:
        if when and not supply and holds(when, state):
            return value
    found, any_state = [], False
    for name in dict.fromkeys(supply for _, supply, _ in groups if supply):
        own = [value for when, supply, value in groups if supply == name and when and holds(when, state)]
        rest = [value for when, supply, value in groups if supply == name and not when]
        any_state |= bool(own)
        found.append((own or rest or [None])[0])
    known = [value for value in found if value is not None]
    if whole is not None and (not any_state or len(known) < len(found)):
        return whole
    return sum(known)


def total(found, state):
    """The sum that power takes: states, and the rest for the share that they leave."""
    own = [value for when, value in found.states if holds(when, state)]
    assert len(own) <= 1  # so the rest's share is never negative
    return own[0] if own else found.rest or 0


expressions = st.recursive(
    st.sampled_from(PINS),
    lambda inner: st.one_of(
        inner.map(lambda one: f"!({one})"),
        st.tuples(inner, st.sampled_from("&|^*+ "), inner).map(lambda t: f"({t[0]}){t[1]}({t[2]})"),
    ),
    max_leaves=4,
)
group = st.tuples(st.none() | expressions, st.sampled_from(["", "VDD", "VSS", "VDDA"]), st.integers(1, 9))


@given(st.lists(group, max_size=6), st.none() | st.integers(10, 20))
def test_every_state_leaks_what_its_supplies_leak_together(groups, whole):
    found = leakage(groups, whole)
    for state in STATES:
        assert total(found, state) == expected(groups, whole, state)


@pytest.mark.parametrize("when", ["!B & A", "A*B'", "(A !B)", "!(!A | B)", "A ^ (A & B)"])
def test_a_state_in_other_words_is_the_same_state(when):
    assert leakage([("A & !B", "VDD", 1.0), (when, "VSS", 0.25)], 3.0).states == [("A & !B", 1.25)]


def test_an_unconditional_group_of_another_supply_counts_in_every_state():
    found = leakage([("A", "VDD", 1.0), ("!A", "VDD", 2.0), (None, "VSS", 0.5)], None)
    assert dict(found.states) == {"A": 1.5, "!A": 2.5}


def test_states_of_one_supply_that_overlap_count_once_and_are_told():
    found = leakage([("A", "", 1.0), ("B", "", 2.0)], 5.0)
    assert found.overlaps and [total(found, state) for state in STATES[::2]] == [5.0, 2.0, 1.0, 1.0]
    assert not leakage([("A", "", 1.0), ("!A", "", 2.0)], 5.0).overlaps


def test_no_data_is_not_zero():
    assert leakage([], None).rest is None and leakage([], 0.0).rest == 0.0


def test_an_order_of_states_is_kept():
    groups = [("!A & B", "", 3.0), ("A", "", 1.0), ("!A & !B", "", 2.0)]
    assert leakage(groups, None).states == [(when, value) for when, _, value in groups]


def test_too_many_pins_are_refused():
    with pytest.raises(UserError, match="states of 17 pins"):
        leakage([(" & ".join(f"A{i}" for i in range(17)), "", 1.0)], None)
