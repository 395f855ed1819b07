"""Names, lookup and identity of cells."""

import pytest

from slipstick.errors import UnknownName
from slipstick.rtl.cells import cell, cells, names, register
from slipstick.rtl.cells.array_multipliers import exact


def test_every_name_leads_to_a_cell_of_that_name_and_no_two_behave_alike() -> None:
    digests = {choice.digest: choice.name for choice in cells()}
    assert all(cell(name).name == name for name in names())
    assert len(digests) == len(names())


def test_unknown_cell_shows_near_names() -> None:
    with pytest.raises(UnknownName, match="unknown cell 'drum8s_k9'; near names: .*drum8s_k"):
        cell("drum8s_k9")


def test_a_pattern_without_a_match_is_an_error() -> None:
    with pytest.raises(UnknownName, match="'nothing\\*'"):
        names("nothing*")


def test_names_come_in_natural_order() -> None:
    assert names("truncated8s_k*")[:3] == ["truncated8s_k1", "truncated8s_k2", "truncated8s_k3"]
    assert names("truncated8s_k?*")[-1].startswith("truncated8s_k10")


def test_a_second_cell_of_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="registered already"):
        register("exact", exact, signed=True)


def test_digest_depends_on_behaviour_and_signedness() -> None:
    assert cell("exact8s").digest != cell("exact8u").digest
    assert cell("exact8s").digest == cell("exact8s").digest
