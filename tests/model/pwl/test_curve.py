"""Curves with real breakpoints, and the functions they stand for."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipstick.errors import UserError
from slipstick.model.pwl.curve import PwlCurve, codes_inside, mse_of_codes
from slipstick.model.pwl.functions import EXP, FUNCTIONS, GELU, RECIPROCAL, Function, named
from slipstick.rtl.spec.pwl import PwlFormat, PwlTable


@st.composite
def curves(draw: st.DrawFn) -> PwlCurve:
    """Curves of any format, breakpoints anywhere."""
    form = PwlFormat(draw(st.integers(2, 12)), draw(st.integers(2, 12)), draw(st.integers(0, 12)))
    count = draw(st.integers(2, 9))
    points = draw(st.lists(st.floats(-1e6, 1e6) | st.floats(-4, 4), min_size=count - 1, max_size=count - 1))
    codes = [
        tuple(draw(st.lists(st.integers(*limits), min_size=count, max_size=count)))
        for limits in (form.slope_range, form.intercept_range)
    ]
    return PwlCurve(draw(st.text(max_size=5)), tuple(sorted(points)), codes[0], codes[1], form)


@settings(max_examples=60)
@given(curves())
def test_json_gives_the_same_curve_back(curve: PwlCurve) -> None:
    assert PwlCurve.from_json(json.loads(json.dumps(curve.to_json()))) == curve


@settings(max_examples=60)
@given(curves(), st.integers(0, 12), st.integers(2, 10))
def test_a_table_has_its_curves_values_at_every_code(curve: PwlCurve, fraction: int, width: int) -> None:
    codes = np.arange(-(1 << (width - 1)), 1 << (width - 1))
    table = curve.at_scale(fraction, width)
    np.testing.assert_array_equal(table.values(codes), curve(codes * 2.0**-fraction))
    assert table.entries == curve.entries and table.format == curve.format


def test_errors_are_means_over_samples_and_codes() -> None:
    line = Function("line", lambda x: x, 0, 1, step=0.25)
    off = PwlCurve("line", (0.5,), (64, 0), (0, 48))  # x below 1/2, then 3/4
    assert off.mse(line) == pytest.approx((0 + 0 + 0.25**2 + 0) / 4)
    assert mse_of_codes(off.at_scale(2), line) == pytest.approx((0.25**2 + 0.25**2) / 5)  # the end is a code too
    assert codes_inside(line, 2).tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(UserError, match="no input code"):
        mse_of_codes(off.at_scale(2), Function("far", lambda x: x, 100, 101))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"slopes": (0,)}, "1 slopes, 2 intercepts and 1 breakpoints"),
        ({"slopes": (0,), "intercepts": (0,), "breakpoints": ()}, "N >= 2 segments"),
        ({"breakpoints": (math.nan,)}, "not ascending"),
        ({"slopes": (0, 0, 0), "intercepts": (0, 0, 0), "breakpoints": (1.0, 0.5)}, "not ascending"),
        ({"slopes": (0, 128)}, r"\(9 and 8 bits\) would"),
        ({"slopes": None}, "not a piecewise linear curve: TypeError"),
    ],
    ids=str,
)
def test_curves_that_cannot_be_are_told(change: dict, message: str) -> None:
    data = PwlCurve("line", (0.0,), (0, 64), (0, 0)).to_json()
    with pytest.raises(UserError, match=message):
        PwlCurve.from_json({**data, **change})


def test_functions_are_the_exact_ones() -> None:
    inputs = np.array([-2.5, -0.5, 0.25, 1.0, 3.5])
    exact = {
        "gelu": [0.5 * x * math.erfc(-x / math.sqrt(2)) for x in inputs],
        "hswish": [x * min(max(x + 3, 0), 6) / 6 for x in inputs],
        "silu": [x / (1 + math.exp(-x)) for x in inputs],
        "sigmoid": [1 / (1 + math.exp(-x)) for x in inputs],
        "tanh": [math.tanh(x) for x in inputs],
        "exp": [math.exp(x) for x in inputs],
    }
    for name, values in exact.items():
        np.testing.assert_allclose(FUNCTIONS[name](inputs), values, rtol=1e-13)
    np.testing.assert_allclose(FUNCTIONS["reciprocal"](inputs[2:]), [4, 1, 1 / 3.5])
    np.testing.assert_allclose(FUNCTIONS["rsqrt"](inputs[2:]), [2, 1, 3.5**-0.5])
    assert FUNCTIONS["silu"](np.array([-1e4, 1e4])).tolist() == [0, 1e4]  # nothing overflows


def test_sample_points_are_the_published_ones() -> None:
    assert [len(FUNCTIONS[name].grid) for name in ("gelu", "exp", "reciprocal", "rsqrt")] == [800, 800, 350, 375]
    assert GELU.grid[[0, -1]] == pytest.approx([-4, 3.99])


def test_functions_are_found_by_name() -> None:
    assert named("GELU") is GELU and named(RECIPROCAL) is RECIPROCAL
    with pytest.raises(UserError, match="unknown function 'gleu'; near names: gelu"):
        named("gleu")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"low": 1, "high": 1}, "no range"),
        ({"low": -math.inf}, "no range"),
        ({"step": 0}, "no range"),
        ({"step": 1e-9}, "more than 1000000 steps"),
        ({"domain": (0, 1)}, "not inside its domain"),
        ({"formula": lambda x: 1 / x}, r"not finite at .*, inside \[-1, 1\]"),
        ({"formula": math.sin}, "'own' does not take NumPy arrays"),
        ({"formula": lambda x: np.sqrt(-x)}, "not finite at 0.01"),
    ],
    ids=lambda part: part if isinstance(part, str) else " ".join(part),
)
def test_functions_that_cannot_be_fitted_are_told(arguments: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Function(**{"name": "own", "formula": np.abs, "low": -1, "high": 1, **arguments})


def test_a_table_of_the_exponential_ends_where_its_inputs_do() -> None:
    table = PwlTable("exp", 4, (-128,), (0, 0), (0, 0))
    assert EXP.domain[1] == 0 and mse_of_codes(table, EXP) == pytest.approx(np.exp(np.arange(-128, 1) / 8).mean())
