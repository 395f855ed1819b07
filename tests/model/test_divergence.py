"""Divergence of outputs: against exact arithmetic, never negative, careful where outputs hardly differ."""

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from slipstick.errors import UserError
from slipstick.model.divergence import kl_divergence

LOGITS = st.lists(st.floats(-30, 30), min_size=3, max_size=3)


@given(LOGITS, LOGITS)
def test_it_is_that_of_the_definition_and_never_negative(one: list[float], other: list[float]) -> None:
    found = float(kl_divergence(torch.tensor([one], dtype=torch.float64), torch.tensor([other], dtype=torch.float64)))
    p, q = ([math.exp(x - max(row)) for x in row] for row in (one, other))
    p, q = ([x / math.fsum(row) for x in row] for row in (p, q))
    wanted = math.fsum(x * math.log(x / y) for x, y in zip(p, q, strict=True))
    assert found >= 0 and found == pytest.approx(wanted, rel=1e-9, abs=1e-13)


@pytest.mark.parametrize("step", [2.0**-20, 2.0**-30, 2.0**-45])
def test_outputs_that_hardly_differ_keep_their_digits(step: float) -> None:
    """Of two equal logits one moves by h: the divergence is log cosh(h / 2) = h^2 / 8 (1 - h^2 / 24 ...)."""
    reference, moved = torch.zeros(1, 2, dtype=torch.float64), torch.tensor([[0.0, step]], dtype=torch.float64)
    wanted = float(Fraction(step) ** 2 / 8)
    assert float(kl_divergence(reference, moved)) == pytest.approx(wanted, rel=1e-3)
    assert float(kl_divergence(reference, reference)) == 0


def test_impossible_classes_and_far_logits_are_no_trouble() -> None:
    reference = torch.tensor([[0.0, -1e4, 1e4]])
    assert float(kl_divergence(reference, torch.tensor([[0.0, 1e4, 1e4]]))) == pytest.approx(math.log(2))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_outputs_that_are_no_distribution_are_refused(bad: float) -> None:
    with pytest.raises(UserError, match="outputs of the model hold NaN or Inf"):
        kl_divergence(torch.zeros(1, 2), torch.tensor([[0.0, bad]]))
