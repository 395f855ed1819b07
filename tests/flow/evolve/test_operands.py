"""Operands: whole-number weights, files of a user's own, recorded layers."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstick.errors import UserError
from slipstick.flow.evolve.operands import (
    LENGTH,
    TOTAL,
    Operands,
    load_operands,
    operands_of,
    shipped_operands,
    uniform_operands,
    whole_shares,
)
from slipstick.rtl.cells import cell
from slipstick.store import Store

from .conftest import peaked


@given(st.lists(st.floats(0, 1e9), min_size=2, max_size=256).filter(any))
def test_shares_are_whole_and_sum_to_all(counts: list[float]) -> None:
    shares = whole_shares(np.array(counts))
    assert shares.sum() == TOTAL and (shares >= 0).all()
    assert np.abs(shares - np.array(counts) / sum(counts) * TOTAL).max() <= 1 + 1e-6


def test_uniform_means_are_plain_means() -> None:
    own = cell("truncated8s_k6_c1")
    operands = uniform_operands((8, 8))
    error = own.table - own.exact
    assert operands.mean(np.abs(error)) == own.errors.mae and operands.mean(error) == own.errors.bias


def test_a_file_gives_back_what_was_saved(tmp_path: Path, operands: Operands) -> None:
    operands.save(tmp_path / "mine.npz")
    again = load_operands(tmp_path / "mine.npz")
    assert again.digest == operands.digest and again.name.endswith("mine.npz")


def arrays(**changed: object) -> dict[str, object]:
    own = peaked()
    names = ("activation_counts", "weight_counts", "activations", "weights")
    return {name: getattr(own, name) for name in names} | changed


BAD = {
    "lacks": arrays(weights=None),
    "one count for each": arrays(activation_counts=np.ones(255)),
    "at least 0, one": arrays(weight_counts=-np.ones(256)),
    "at least 0, one of": arrays(weight_counts=np.zeros(256)),
    "at least 0, one of them": arrays(weight_counts=np.full(256, np.nan)),
    "beyond 255": arrays(weights=np.full(64, 256)),
    "hold codes beyond": arrays(weights=np.full(64, 2**40)),
    "whole numbers": arrays(weights=np.full(64, -1)),
    "as whole numbers": arrays(weights=np.full(64, 0.5)),
    "as many weights": arrays(weights=np.zeros(63, int)),
    "2 or more steps": arrays(activations=np.zeros((64, 1), int)),
    "must hold numbers": arrays(activation_counts=np.array(["x"] * 256)),
    "not a readable": arrays(weights=np.array([None] * 64)),
}


@pytest.mark.parametrize("message", BAD)
def test_a_bad_file_is_one_line_that_names_it(tmp_path: Path, message: str) -> None:
    path = tmp_path / "bad.npz"
    np.savez(path, **{name: value for name, value in BAD[message].items() if value is not None})
    with pytest.raises(UserError, match=message) as caught:
        load_operands(path)
    assert "bad.npz" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut short", b"\x93NUMPY\x01\x00v\x00"])
def test_a_file_of_another_kind_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"bad\.npz"):
        load_operands(path)
    with pytest.raises(UserError, match="absent"):
        load_operands(tmp_path / "absent.npz")


def test_layers_count_in_proportion_to_their_macs() -> None:
    one = (np.full((1, 40, 3), 5, np.int8), np.full((1, 3, 4), -1, np.int8))
    other = (np.full((2, 8, 2), -7, np.int8), np.full((2, 2, 6), 9, np.int8))
    operands = operands_of({"one": one, "other": other}, {"one": 300, "other": 100}, name="two layers")
    assert operands.activation_weights[5] == 3 * operands.activation_weights[256 - 7] == 3 * TOTAL // 4
    assert operands.weight_weights[255] == 3 * operands.weight_weights[9] == 3 * TOTAL // 4
    assert (operands.activations == 5).all() and (operands.weights == 255).all()  # the other layer is too short
    assert operands.activations.shape[1] == LENGTH
    with pytest.raises(UserError, match="no layer has the 32 rows"):
        operands_of({"other": other}, {"other": 100}, name="short")


def test_operands_of_other_widths_do_not_fit() -> None:
    with pytest.raises(UserError, match="uniform operands counts 256 and 16 codes, not those of cell 'exact8s'"):
        uniform_operands((8, 4)).check_fits(cell("exact8s"))


@pytest.mark.slow
def test_the_shipped_model_records_operands_near_zero(tmp_path: Path) -> None:
    operands = shipped_operands(Store("operands", tmp_path))
    value = np.arange(256) - 256 * (np.arange(256) >= 128)
    for shares in (operands.activation_weights, operands.weight_weights):
        assert shares[np.abs(value) < 32].sum() > 0.6 * TOTAL
    assert operands.digest == shipped_operands(Store("operands", tmp_path)).digest
    assert len(list((tmp_path / "operands").glob("*.npz"))) == 1
