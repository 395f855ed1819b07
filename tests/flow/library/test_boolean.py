import itertools

import numpy as np
import pytest

from slipstick.errors import UserError
from slipstick.flow.library.boolean import parse


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("!A & B", lambda A, B, C: (1 - A) & B),
        ("!A&B", lambda A, B, C: (1 - A) & B),
        ("A*B", lambda A, B, C: A & B),
        ("(A B)", lambda A, B, C: A & B),
        ("A' B", lambda A, B, C: (1 - A) & B),
        ("(A B)' + C", lambda A, B, C: (1 - (A & B)) | C),
        ("!(A*B)", lambda A, B, C: 1 - (A & B)),
        ("A | B & C", lambda A, B, C: A | (B & C)),
        ("A & B ^ C", lambda A, B, C: A & (B ^ C)),
        ("A B + !C", lambda A, B, C: (A & B) | (1 - C)),
        ("A !B", lambda A, B, C: A & (1 - B)),
        ("(A) (B)", lambda A, B, C: A & B),
        ("!!A ^ 1", lambda A, B, C: A ^ 1),
        ("0 + C", lambda A, B, C: C),
    ],
)
def test_all_syntaxes_and_bindings(text, meaning):
    for a, b, c in itertools.product((0, 1), repeat=3):
        assert parse(text).evaluate({"A": a, "B": b, "C": c}, 1) == meaning(a, b, c), (a, b, c)


@pytest.mark.parametrize("text", ["A &", "(A | B", "A ? B", "", "A)", "& A", "__import__('os').system('true')"])
def test_refuses_what_is_no_expression(text):
    with pytest.raises(UserError, match="expression"):
        parse(text)


@pytest.mark.parametrize("text", ["(" * 5000 + "A" + ")" * 5000, "!" * 5000 + "A"])
def test_refuses_what_is_nested_too_deeply(text):
    with pytest.raises(UserError, match="too many brackets"):
        parse(text)


def test_pins_and_substitution():
    assert parse("!B & (A | B) ^ A").pins() == ("B", "A")
    assert parse("A & Q").substitute("Q", parse("!IQ")).evaluate({"A": 1, "IQ": 0}, 1) == 1


def test_probability_of_independent_pins_counts_a_repeated_pin_once():
    ones = {"A": np.array([0.25]), "B": np.array([0.5])}
    assert parse("A & A").probability(ones) == pytest.approx(0.25)
    assert parse("A ^ B").probability(ones) == pytest.approx(0.5)
    assert parse("A | !A").probability(ones) == pytest.approx(1.0)
