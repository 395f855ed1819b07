"""The optimal fit: never beaten by any table of the same storage, inside the published range and out."""

import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipstick.errors import UserError
from slipstick.model.pwl.curve import PwlCurve, codes_inside, mse_of_codes
from slipstick.model.pwl.functions import EXP, FUNCTIONS, GELU, RECIPROCAL, RSQRT, SILU, Function
from slipstick.model.pwl.optimal import fit, fit_float
from slipstick.model.pwl.segments import all_costs, best_starts, lines_of
from slipstick.rtl.spec.pwl import PwlFormat, PwlTable

from .tables import HEADROOM, NINE_BITS


def needed(function: Function) -> PwlFormat:
    """The narrowest format of 6 fraction bits that holds a function."""
    return NINE_BITS if function in (RECIPROCAL, RSQRT) else PwlFormat()


def brute_force(x: np.ndarray, y: np.ndarray, weights: np.ndarray, segments: int, form: PwlFormat) -> float:
    """Least cost over every cut, every slope and every intercept."""
    slopes, intercepts = (np.arange(low, high + 1) for low, high in (form.slope_range, form.intercept_range))
    lines = slopes[:, None, None] * x + intercepts[:, None]
    errors = weights * (lines - y) ** 2  # [slopes, intercepts, n]
    best = np.inf
    for cuts in itertools.combinations(range(1, len(x)), segments - 1):
        parts = np.split(errors, cuts, axis=2)
        best = min(best, sum(part.sum(axis=2).min() for part in parts))
    return best


@settings(max_examples=60)
@given(st.data())
def test_no_cut_slope_or_intercept_beats_the_fit(data: st.DataObject) -> None:
    number = st.floats(-12, 12, allow_nan=False, width=32)
    count = data.draw(st.integers(2, 7))
    x = np.sort(np.array(data.draw(st.lists(st.integers(-16, 15), min_size=count, max_size=count, unique=True)))) / 4
    y = np.array(data.draw(st.lists(number, min_size=count, max_size=count)))
    weights = np.array(data.draw(st.lists(st.floats(1e-6, 10), min_size=count, max_size=count)))
    segments = data.draw(st.integers(1, min(3, count)))
    form = PwlFormat(data.draw(st.integers(2, 5)), data.draw(st.integers(2, 5)), 2)
    starts = best_starts(all_costs(x, y, weights, form), segments)
    slopes, intercepts = lines_of(x, y, weights, starts, form)
    segment = np.searchsorted(starts, np.arange(count), side="right") - 1
    found = float(weights @ (np.array(slopes)[segment] * x + np.array(intercepts)[segment] - y) ** 2)
    assert len(starts) == segments
    assert found == pytest.approx(brute_force(x, y, weights, segments, form), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("entries", [8, 16])
@pytest.mark.parametrize("name", HEADROOM)
def test_the_float_fit_is_within_half_of_the_headroom_figures(name: str, entries: int) -> None:
    function = FUNCTIONS[name]
    curve = fit_float(name, entries, needed(function))
    assert curve.entries == entries
    assert curve.mse(function) <= 1.05 * HEADROOM[name][entries == 16]


@pytest.mark.parametrize("entries", [8, 16])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_codes_outside_cost_the_published_range_a_quarter_at_most(name: str, entries: int) -> None:
    function = FUNCTIONS[name]
    whole = fit_float(function, entries, needed(function)).mse(function)
    for fraction in range(7):
        codes = codes_inside(function, fraction)
        low, high = int(codes[0]), int(codes[-1])
        alone = mse_of_codes(fit(function, entries, fraction, needed(function), low=low, high=high), function)
        table = fit(function, entries, fraction, needed(function))
        assert table.entries == entries
        assert mse_of_codes(table, function) <= 1.26 * max(alone, whole)  # the whole range is sampled more coarsely


@pytest.mark.parametrize("fraction", range(3))
def test_a_gelu_of_thirty_is_thirty_and_of_minus_thirty_nothing(fraction: int) -> None:
    for entries in (8, 16):
        table = fit("gelu", entries, fraction)
        assert table.values(np.array([30, -30]) << fraction).tolist() == [30, 0]


@pytest.mark.parametrize("name", ["gelu", "hswish", "sigmoid", "tanh", "exp"])
def test_functions_that_end_straight_are_right_at_every_code(name: str) -> None:
    function = FUNCTIONS[name]
    for fraction in range(7):
        table = fit(function, 8, fraction)
        codes = np.arange(-128, 1 if function is EXP else 128)
        inputs = codes * 2.0**-fraction
        outside = ~function.inside(inputs)
        assert np.abs(table.values(codes) - function(inputs))[outside].max(initial=0) < 1e-3


def test_a_fit_takes_less_than_a_second() -> None:
    for arguments in (
        {"function": SILU, "entries": 16, "input_fraction": 4},
        {"function": RECIPROCAL, "entries": 16, "input_fraction": 8, "input_width": 10, "low": 256, "high": 511},
        {"function": RSQRT, "entries": 16, "input_fraction": 8, "input_width": 11, "low": 256, "high": 1023},
    ):
        started = time.process_time()
        fit(**arguments)
        assert time.process_time() - started < 1


def test_mantissas_alone_are_fitted_where_low_and_high_say_so() -> None:
    table = fit(RECIPROCAL, 8, 8, input_width=10, low=256, high=511)
    codes = np.arange(256, 512)
    assert all(256 < point < 512 for point in table.breakpoints)
    assert np.abs(table.values(codes) - 256 / codes).max() < 0.011


def test_weights_move_the_error_to_codes_that_do_not_occur() -> None:
    codes = np.arange(-128, 128)
    inputs = codes / 16
    histogram = np.rint(1000 * np.exp(-((inputs + 0.5) ** 2) / 0.5))
    errors = [(fit(GELU, 8, 4, weights=w).values(codes) - GELU(inputs)) ** 2 for w in (None, histogram)]
    assert histogram @ errors[1] < 0.5 * (histogram @ errors[0])
    assert errors[1].mean() > errors[0].mean()


def test_codes_that_never_occur_neither_hurt_nor_forbid_a_fit() -> None:
    codes = np.arange(-128, 128)
    histogram = np.where((codes >= 64) & (codes <= 127), 1, 0)  # mantissas of [1, 2)
    table = fit(RECIPROCAL, 8, 6, weights=histogram)  # 1 / 2^-6 is far beyond Q1.6
    alone = fit(RECIPROCAL, 8, 6, low=64, high=127)
    seen = codes[histogram > 0]
    errors = [np.mean((one.values(seen) - 64 / seen) ** 2) for one in (table, alone)]
    assert errors[1] <= errors[0] <= 1.05 * errors[1]


@settings(max_examples=20)
@given(st.integers(0, 3), st.integers(2, 3), st.sampled_from(["gelu", "tanh", "hswish"]))
def test_a_whole_table_is_never_beaten_either(fraction: int, entries: int, name: str) -> None:
    form, codes = PwlFormat(4, 4, 2), np.arange(-4, 4)
    inputs = codes * 2.0**-fraction
    table = fit(name, entries, fraction, form, input_width=3, low=-4, high=3)
    found = 16 * np.sum((table.values(codes) - FUNCTIONS[name](inputs)) ** 2)
    least = brute_force(inputs, 4 * FUNCTIONS[name](inputs), np.ones(8), entries, form)
    assert found == pytest.approx(least, rel=1e-9, abs=1e-9)


def test_uniform_weights_are_the_fit_of_all_codes_alike() -> None:
    tables = fit(GELU, 8, 5, weights=np.full(256, 7)), fit(GELU, 8, 5, low=-128, high=127)
    assert mse_of_codes(tables[0], GELU) == pytest.approx(mse_of_codes(tables[1], GELU))  # mirrored cuts are as good


def test_as_many_entries_as_codes_leave_segments_empty_but_nothing_lost() -> None:
    table = fit(EXP, 16, 0, low=-3, high=0)
    assert table.entries == 16 and isinstance(table, PwlTable)
    np.testing.assert_allclose(table.values(np.arange(-3, 1)), np.exp([-3.0, -2, -1, 0]), atol=1 / 128)
    single = fit(EXP, 2, 0, low=0, high=0)
    assert single.values(np.array([0])).tolist() == [1]


def test_any_function_can_be_fitted() -> None:
    function = Function("softplus", lambda x: np.logaddexp(0, x), -4, 4)
    assert mse_of_codes(fit(function, 16, 4), function) < 1e-5
    logarithm = Function("log", np.log, 0.25, 4)  # NaN and -infinity outside take no part
    assert mse_of_codes(fit(logarithm, 16, 5, PwlFormat(9, 9, 6)), logarithm) < 1e-4


@pytest.mark.parametrize("name", ["reciprocal", "rsqrt"])
def test_a_format_that_cannot_hold_the_function_names_one_that_can(name: str) -> None:
    for call in (lambda form: fit(name, 8, 5, form), lambda form: fit_float(name, 8, form)):
        with pytest.raises(UserError, match=r"slopes Q1.6.* cannot hold .* slopes Q2.6, .*\(9 and 9 bits\) would"):
            call(PwlFormat())
        for form in (NINE_BITS, PwlFormat(8, 8, 5)):
            found = call(form)
            assert all(form.slope_range[0] <= code <= form.slope_range[1] for code in found.slopes)
            assert all(form.intercept_range[0] <= code <= form.intercept_range[1] for code in found.intercepts)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"entries": 1}, "2 entries or more, not 1"),
        ({"low": 5, "high": 4}, "codes 5 to 4"),
        ({"high": 128}, "not 8-bit input codes"),
        ({"weights": np.zeros(256)}, "not all 0"),
        ({"weights": np.ones(255)}, "256 finite numbers"),
        ({"weights": np.full(256, np.nan)}, "finite"),
        ({"function": "exp", "weights": np.ones(256)}, "outside the function's domain, such as 1"),
        ({"function": "gleu"}, "unknown function 'gleu'; near names: .*gelu"),
        ({"function": Function("hat", lambda x: abs(x), 0.1, 0.4), "input_fraction": 0}, "no input code"),
        ({"weights": ["a"] * 256}, "no numbers"),
        ({"input_width": 40}, "input codes of 40 bits; 2 to 16"),
        ({"input_fraction": -1}, "input of 8 bits"),
        ({"function": Function("line", lambda x: 1000 * x, -4, 4)}, r"\(16 and .* bits\) would"),
        ({"function": Function("growth", lambda x: np.exp(40 * x), -4, 4)}, "cannot hold 'growth', whose values reach"),
        ({"input_width": 16}, "65536 input codes are too many"),
        ({"function": Function("pole", lambda x: 1 / (x - 0.03125), 0, 1), "input_fraction": 5}, "finite at 0.03125"),
    ],
    ids=lambda part: part if isinstance(part, str) else " ".join(part),
)  # fmt: skip
def test_mistakes_are_told(arguments: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        fit(**{"function": GELU, "entries": 8, "input_fraction": 4, **arguments})


def test_a_curve_of_the_float_fit_goes_to_every_scale() -> None:
    curve = fit_float(GELU, 8)
    assert PwlCurve.from_json(curve.to_json()) == curve
    assert mse_of_codes(fit(GELU, 8, 6), GELU) < mse_of_codes(curve.at_scale(6), GELU) < 1e-4
