"""Piecewise linear tables: one result in every number system, on every code; formats that are proved to fit."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slipstick.errors import UserError
from slipstick.rtl.spec.pwl import PwlFormat, PwlTable
from slipstick.rtl.spec.widths import signed_range, signed_width

GELU = PwlTable(
    "gelu", 4, (-47, -35, -14, -7, 1, 10, 45), (0, -2, -7, 3, 23, 48, 69, 64), (0, -6, -17, -8, 0, -1, -14, 0)
)


@st.composite
def tables(draw: st.DrawFn) -> PwlTable:
    """Tables of any format and input width, breakpoints and coefficients anywhere in their ranges."""
    form = PwlFormat(draw(st.integers(2, 12)), draw(st.integers(2, 12)), draw(st.integers(0, 12)))
    width, count = draw(st.integers(2, 8)), draw(st.integers(2, 9))

    def codes(number: int, limits: tuple[int, int]) -> list[int]:
        return draw(st.lists(st.integers(*limits), min_size=number, max_size=number))

    return PwlTable(
        draw(st.text(max_size=5)), draw(st.integers(0, 12)), tuple(sorted(codes(count - 1, signed_range(width)))),
        tuple(codes(count, form.slope_range)), tuple(codes(count, form.intercept_range)), form, width,
    )  # fmt: skip


def by_hand(table: PwlTable, code: int) -> int:
    """The formula of the segment that holds a code, found by counting breakpoints at or below it."""
    segment = sum(point <= code for point in table.breakpoints)
    return table.slopes[segment] * code + table.intercepts[segment] * 2**table.input_fraction


@settings(max_examples=60)
@given(tables())
def test_python_numpy_and_torch_agree_on_every_code(table: PwlTable) -> None:
    low, high = table.input_range
    codes = range(low, high + 1)
    wanted = [by_hand(table, code) for code in codes]
    assert [table(code) for code in codes] == wanted
    assert table(np.arange(low, high + 1), np.where).tolist() == wanted == table.results.tolist()
    assert table(torch.arange(low, high + 1), torch.where).tolist() == wanted


def test_a_breakpoint_belongs_to_the_segment_on_its_right() -> None:
    for segment, point in enumerate(GELU.breakpoints):
        left, right = (GELU.slopes[i] * point + (GELU.intercepts[i] << 4) for i in (segment, segment + 1))
        assert GELU(point) == right != left
        assert GELU(point - 1) == GELU.slopes[segment] * (point - 1) + (GELU.intercepts[segment] << 4)


def test_of_equal_breakpoints_the_last_counts() -> None:
    table = PwlTable("step", 0, (1, 1), (0, 1, 2), (0, 0, 5))
    assert [table(code) for code in (0, 1)] == [0, 7]


@settings(max_examples=60)
@given(tables())
def test_values_are_results_at_their_scale_and_the_width_holds_them(table: PwlTable) -> None:
    low, high = table.input_range
    codes = np.arange(low, high + 1).reshape(2, -1)
    np.testing.assert_array_equal(table.values(codes) * 2.0**table.fraction, table.results.reshape(2, -1))
    least, most = signed_range(table.result_width)
    assert least <= table.results.min() and table.results.max() <= most
    assert table.result_width == 1 or table.results.min() < least // 2 or table.results.max() > most // 2
    assert table.result_width <= max(
        table.format.slope_width + table.input_width, table.format.intercept_width + table.input_fraction
    ) + 1  # fmt: skip


def test_results_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        GELU.results[0] = 1


@settings(max_examples=60)
@given(tables())
def test_json_gives_the_same_table_back(table: PwlTable) -> None:
    assert PwlTable.from_json(table.to_json()) == table


@given(st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6))
def test_signed_width_is_the_least_that_holds_both_numbers(a: int, b: int) -> None:
    width = signed_width(min(a, b), max(a, b))
    low, high = signed_range(width)
    assert low <= min(a, b) and max(a, b) <= high
    assert width == 1 or min(a, b) < -(1 << (width - 2)) or max(a, b) >= 1 << (width - 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"slopes": (0,) * 7}, "7 slopes, 8 intercepts and 7 breakpoints"),
        ({"slopes": (0,), "intercepts": (0,), "breakpoints": ()}, "N >= 2 segments"),
        ({"breakpoints": (0, -1, 2, 3, 4, 5, 6)}, "not ascending input codes"),
        ({"breakpoints": (-129, 0, 2, 3, 4, 5, 6)}, "not ascending input codes"),
        ({"breakpoints": (0, 1, 2, 3, 4, 5, 128)}, "not ascending input codes"),
        ({"input_width": 1}, "input of 1 bits"),
        ({"input_width": 17}, "input of 17 bits"),
        ({"input_fraction": -1}, r"2\^--1"),
        ({"slopes": (0,) * 7 + (128,)}, r"slopes Q1.6, intercepts Q1.6 cannot hold .* Q2.6, intercepts Q1.6 \(9 and 8"),
        ({"slopes": (-256,) + (0,) * 7}, r"\(9 and 8 bits\) would"),
        ({"intercepts": (-257,) + (0,) * 7}, r"slopes Q1.6, intercepts Q3.6 \(8 and 10 bits\) would"),
    ],
    ids=str,
)
def test_tables_that_cannot_be_are_told(change: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        dataclasses.replace(GELU, **change)


@pytest.mark.parametrize("form", [(1, 8, 6), (8, 33, 6), (8, 8, -1), (8, 8, 25)])
def test_formats_that_hold_nothing_are_told(form: tuple[int, int, int]) -> None:
    with pytest.raises(UserError, match=r"coefficients' \w+ -?\d+: must be from (2 to 32|0 to 24)"):
        PwlFormat(*form)


@pytest.mark.parametrize(
    "change",
    [
        {"slopes": None},
        {"slopes": ["a"]},
        {"format": {"bits": 8}},
        {"format": 8},
        {"breakpoints": 3},
        {"function": ...},
    ],
    ids=str,
)
def test_json_that_is_no_table_is_told(change: dict) -> None:
    data = {name: value for name, value in {**GELU.to_json(), **change}.items() if value is not ...}
    with pytest.raises(UserError, match="not a piecewise linear table"):
        PwlTable.from_json(data)
    with pytest.raises(UserError, match="not a piecewise linear table"):
        PwlTable.from_json([])  # type: ignore[arg-type]
