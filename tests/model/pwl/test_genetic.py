"""The genetic search: reproducible, as good as the shipped tables, never better than the optimal fit."""

import numpy as np
import pytest

from slipstick.errors import UserError
from slipstick.model.pwl.functions import FUNCTIONS, GELU, Function
from slipstick.model.pwl.genetic import GeneticSettings, fit_genetic, settings_for
from slipstick.model.pwl.optimal import fit_float
from slipstick.rtl.spec.pwl import PwlFormat

from .tables import FLOAT_MSE, NINE_BITS

QUICK = GeneticSettings(generations=40, restarts=2)


def test_a_seed_decides_the_curve() -> None:
    first, again, other = (fit_genetic(GELU, 8, seed=seed, settings=QUICK) for seed in (3, 3, 4))
    assert first == again != other


@pytest.mark.parametrize(("name", "entries"), FLOAT_MSE)
def test_the_search_reaches_the_published_error(name: str, entries: int) -> None:
    """Seed 0, 32 restarts of 500 generations."""
    form = NINE_BITS if name in ("reciprocal", "rsqrt") else PwlFormat()
    curve = fit_genetic(name, entries, form)
    function = FUNCTIONS[name]
    assert fit_float(name, entries, form).mse(function) <= curve.mse(function) <= FLOAT_MSE[name, entries]


def test_more_generations_never_lose_the_best() -> None:
    errors = [
        fit_genetic(GELU, 8, settings=GeneticSettings(generations=count, restarts=1)).mse(GELU)
        for count in (1, 20, 100, 300)
    ]
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.5 * errors[0]


def test_segments_are_chords_rounded_to_the_grid() -> None:
    square = Function("square", lambda x: x * x, 0, 1)
    curve = fit_genetic(square, 2, settings=GeneticSettings(rounding=0.1, noise_share=0, restarts=4))
    (point,) = curve.breakpoints
    assert point == 0.5  # rounded to few bits, and the best place of one breakpoint
    assert (np.array(curve.slopes) / 64).tolist() == [point, 1 + point]
    assert (np.array(curve.intercepts) / 64).tolist() == [0, -point]


def test_mantissa_functions_are_searched_without_rounding() -> None:
    assert [settings_for(name).rounding for name in ("reciprocal", "rsqrt", "exp")] == [0, 0, 0.05]


def test_a_format_that_cannot_hold_the_chords_names_one_that_can() -> None:
    with pytest.raises(UserError, match=r"Q1.6.* cannot hold .* slopes Q2.6, intercepts Q2.6 \(9 and 9 bits\) would"):
        fit_genetic("reciprocal", 8, settings=QUICK)
    with pytest.raises(UserError, match="2 entries or more, not 1"):
        fit_genetic("gelu", 1)


@pytest.mark.parametrize(
    "wrong",
    [{"population": 1}, {"generations": 0}, {"tournament": 0}, {"restarts": 0}, {"precisions": (3, 2)},
     {"crossover": 1.1}, {"mutation": -0.1}, {"rounding": 0.2}, {"noise": -1.0}],
    ids=str,
)  # fmt: skip
def test_impossible_settings_are_told(wrong: dict) -> None:
    with pytest.raises(UserError, match="genetic search"):
        GeneticSettings(**wrong)
