"""Names, lookup, sizes and identity of cells."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstick.errors import UnknownName, UserError
from slipstick.rtl.cells import FAMILIES, build, cell, cells, names, register
from slipstick.rtl.cells.registry import is_registered


def test_every_name_leads_to_a_cell_of_that_name_and_no_two_behave_alike() -> None:
    digests = {choice.digest: choice.name for choice in cells()}
    assert all(cell(name).name == name for name in names())
    assert len(digests) == len(names())


@pytest.mark.parametrize("name", ["drun8s_k4", "exact", "exact8", "exact8s_", "exact8sk1", "exact8s_k", "EXACT8s"])
def test_unknown_cell_shows_near_names(name: str) -> None:
    with pytest.raises(UnknownName, match=f"unknown cell {name!r}; near names: "):
        cell(name)


def test_a_pattern_without_a_match_is_an_error() -> None:
    with pytest.raises(UnknownName, match="'nothing\\*'"):
        names("nothing*")


def test_names_come_in_natural_order() -> None:
    assert names("truncated8s_k*")[:2] == ["truncated8s_k1", "truncated8s_k2"]
    assert names("truncated8s_k?*")[-1].startswith("truncated8s_k10")


def test_a_second_cell_of_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="registered already"):
        register("exact8s", lambda: cell("exact8u"))


def test_digest_depends_on_behaviour_and_signedness() -> None:
    assert cell("exact8s").digest != cell("exact8u").digest
    assert cell("exact8s").digest == cell("exact8s").digest


def test_a_name_spells_a_cell_that_nobody_registered() -> None:
    wide = cell("truncated12x6s_k5_c2")
    assert (wide.name, wide.widths, wide.signed) == ("truncated12x6s_k5_c2", (12, 6), True)
    assert wide.parameters == (("k", 5), ("c", 2))
    assert wide == build("truncated", width=(12, 6), k=5, c=2)
    assert names("truncated12x6s_k5_c2") == ["truncated12x6s_k5_c2"]
    assert "truncated12x6s_k5_c2" not in names()
    assert cell("truncated12x6s_k5_c2") is wide  # traced once


def test_no_users_cell_may_take_a_name_that_spells_one() -> None:
    assert is_registered("exact8s") and is_registered("truncated12x6s_k5_c2")
    assert not is_registered("truncated12x6s_k99") and not is_registered("mine8s")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("drum8s_k9", "cells of family 'drum' at 8 x 8 signed bits take k = 2 to 7; not k = 9$"),
        ("drum8u", "cells of family 'drum' at 8 x 8 unsigned bits take k = 2 to 7; none is given$"),
        ("drum8s_m3", "family 'drum' has no parameter 'm'; its parameters: k, o$"),
        ("exact8s_k3", "family 'exact' has no parameter 'k'; its parameters: fast$"),
        ("exact40s", "family 'exact' takes operands of 2 to 16 bits, not 40 x 40$"),
        ("exact1s", "family 'exact' takes operands of 2 to 16 bits, not 1 x 1$"),
        ("mitchell8x4s", "family 'mitchell' takes operands of equal width, 4 to 16 bits, not 8 x 4"),
        ("drum8u_k4_o1", "cells of family 'drum' at 8 x 8 unsigned bits take o = 0; not o = 1$"),
        ("recursive8s_x2", "take x = 0 or 1 or 3; not x = 2$"),
        ("perforated8s_j5_k3", "take k = 1 to 2; not k = 3$"),
        ("truncated8s_c1_k3", "cell 'truncated8s_c1_k3' is written 'truncated8s_k3_c1'$"),
        ("truncated8x8s_k3", "is written 'truncated8s_k3'$"),
        ("truncated8s_k3_c0", "is written 'truncated8s_k3'$"),
    ],
)  # fmt: skip
def test_a_bad_parameter_is_refused_with_what_is_allowed(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        cell(name)


def test_an_unknown_family_shows_near_names() -> None:
    with pytest.raises(UnknownName, match="unknown family of cells 'mitchel'; near names: mitchell"):
        build("mitchel")


@given(st.sampled_from(sorted(FAMILIES)), st.integers(0, 40), st.integers(0, 40), st.text("_kcx0123456789", max_size=9))
def test_any_spelling_gives_a_cell_or_one_clear_line(family: str, wa: int, ww: int, tail: str) -> None:
    try:
        name = f"{family}{min(wa, 9)}x{min(ww, 9)}s{tail}"
        assert cell(name).name == name
    except UserError as error:
        assert "\n" not in str(error)
