"""The published form: read without a bit lost, errors as measured on the shipped files."""

import copy

import numpy as np
import pytest

from slipstick.errors import UserError
from slipstick.model.pwl.curve import mse_of_codes
from slipstick.model.pwl.functions import FUNCTIONS, GELU
from slipstick.model.pwl.optimal import fit
from slipstick.model.pwl.published import from_published, table_at
from slipstick.rtl.spec.pwl import PwlFormat

from .tables import FLOAT_MSE, INT8_MSE, SHIPPED, shipped


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_tables_have_their_measured_errors(name: str) -> None:
    curve = from_published(shipped(name))[6]
    assert curve.format == PwlFormat() and (list(curve.slopes), list(curve.intercepts)) == SHIPPED[name][:2]
    assert curve.mse(FUNCTIONS[name]) == pytest.approx(FLOAT_MSE[name, 8], rel=0.02)
    table = curve.at_scale(6)
    assert mse_of_codes(table, FUNCTIONS[name]) == pytest.approx(INT8_MSE[name, 8][6], rel=0.01)


def test_each_scale_has_its_own_breakpoints() -> None:
    data = shipped("gelu")
    data["gelu"]["0"] = {**data["gelu"]["6"], "breakpoints": [-3.0, -2, -1, 0, 0, 1, 3]}
    data["gelu"]["1"] = {**data["gelu"]["6"], "breakpoints": [-3.0, -2, -1, -0.5, 0, 0.5, 3]}
    curves = from_published(data)
    for fraction in (0, 1):
        found = mse_of_codes(table_at(curves, fraction), GELU)
        assert found == pytest.approx(INT8_MSE["gelu", 8][fraction], rel=0.01)
    assert table_at(curves, 3) == curves[6].at_scale(3)


@pytest.mark.parametrize(("name", "entries"), INT8_MSE)
def test_the_optimal_fit_beats_every_shipped_table_at_equal_storage(name: str, entries: int) -> None:
    for fraction, published in enumerate(INT8_MSE[name, entries]):
        assert mse_of_codes(fit(name, entries, fraction), FUNCTIONS[name]) < published


def test_coefficients_of_more_bits_get_a_format_that_holds_them() -> None:
    data = {"reci": copy.deepcopy(shipped("gelu")["gelu"])}
    data["reci"]["6"]["slopes"][0] = -3.2578125  # -417 / 128
    curve = from_published(data)[6]
    assert (curve.function, curve.format) == ("reciprocal", PwlFormat(10, 8, 7)) and curve.slopes[0] == -417


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "not a published table"),
        ({"gelu": 1}, "not a published table"),
        ({"gelu": {}}, "has no input scale"),
        ({"gleu": {"6": {}}}, "'gleu': known are"),
        ({"gelu": {"six": {}}}, "ValueError"),
        ({"gelu": {"6": {}}}, "KeyError"),
        ({"gelu": {"6": {"breakpoints": [0], "slopes": [1 / 3, 0], "intercepts": [0, 0]}}}, "more than 24 fraction"),
        ({"gelu": {"6": {"breakpoints": [0], "slopes": [0], "intercepts": [0, 0]}}}, "N >= 2 segments"),
        ({"gelu": {"6": {"breakpoints": [1, 0], "slopes": [0, 0, 0], "intercepts": [0, 0, 0]}}}, "not ascending"),
    ],
    ids=str,
)
def test_what_is_no_published_table_is_told(data, message: str) -> None:
    with pytest.raises(UserError, match=message):
        from_published(data)


def test_breakpoints_beyond_the_codes_leave_every_value_as_it_was() -> None:
    curve = from_published(shipped("hswish"))[6]
    for fraction in range(9):
        codes = np.arange(-128, 128)
        np.testing.assert_array_equal(curve.at_scale(fraction).values(codes), curve(codes * 2.0**-fraction))
