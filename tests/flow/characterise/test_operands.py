"""Operands of a workload: shares, files, magnitudes, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstick.errors import UserError
from slipstick.flow.characterise.measure import weighted_errors
from slipstick.flow.characterise.operands import TOTAL, Operands, load_operands, uniform_operands, whole_shares
from slipstick.flow.characterise.recorded import LENGTH, TILE_SIZE, TILES, operands_of
from slipstick.rtl.cells import cell


def recorded(seed: int = 0, rows: int = 40) -> Operands:
    rng = np.random.default_rng(seed)
    activations = rng.normal(0, 20, (2, rows, 24)).clip(-128, 127).astype(np.int8)
    weights = rng.normal(0, 40, (1, 24, 10)).clip(-127, 127).astype(np.int8)
    return operands_of({"a": (activations, weights)}, {"a": 100}, name="test")


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=300).filter(any))
def test_shares_are_whole_add_up_and_are_within_one_of_their_proportion(counts: list[float]) -> None:
    exact = np.array(counts) / sum(counts) * TOTAL
    shares = whole_shares(np.array(counts))
    assert shares.sum() == TOTAL and (np.abs(shares - exact) <= 1).all()


def test_uniform_operands_weigh_errors_as_the_cell_does() -> None:
    one = cell("mitchell8s")
    weighted = weighted_errors(one, uniform_operands(one.widths))
    assert weighted.mae == pytest.approx(one.errors.mae) and weighted.bias == pytest.approx(one.errors.bias)
    assert weighted.mse == pytest.approx(one.errors.mse) and weighted.ep == pytest.approx(one.errors.ep)


def test_weighted_errors_are_the_mean_over_the_pairs_that_occur() -> None:
    counts_a, counts_w = np.zeros(256), np.zeros(256)
    counts_a[[3, 250]], counts_w[[7, 129]] = (1, 3), (1, 1)
    operands = Operands(counts_a, counts_w, np.zeros((1, 2), np.uint16), np.zeros(1, np.uint16))
    one = cell("truncated8s_k6")
    error = (one.table - one.exact).astype(float)
    wanted = sum(p * q * abs(error[a, w]) for a, p in ((3, 0.25), (250, 0.75)) for w, q in ((7, 0.5), (129, 0.5)))
    assert weighted_errors(one, operands).mae == pytest.approx(wanted)


def test_recorded_operands_count_every_code_and_hold_sequences_and_tiles_of_the_layer() -> None:
    operands = recorded()
    assert operands.activation_counts.sum() == pytest.approx(100) and operands.activations.shape[1] == LENGTH
    assert operands.tile_activations.shape == (TILES, LENGTH, TILE_SIZE) and operands.rows_per_tile == 40
    assert len(operands.tiles) == TILES and operands.tile_weights[:, :, 10:].max() == 0  # padded as the array pads


def test_a_saved_workload_is_the_same_workload(tmp_path: Path) -> None:
    operands = recorded()
    operands.save(tmp_path / "w.npz")
    again = load_operands(tmp_path / "w.npz")
    assert again.digest == operands.digest and again.rows_per_tile == operands.rows_per_tile


def test_magnitudes_keep_the_counts_and_lose_the_signs() -> None:
    operands = recorded()
    magnitudes = operands.magnitudes()
    assert magnitudes.activation_counts.sum() == operands.activation_counts.sum()
    assert magnitudes.activation_counts[5] == operands.activation_counts[[5, 251]].sum()
    assert magnitudes.activations.max() <= 128 and not magnitudes.tiles


def test_layers_too_short_for_a_sequence_are_refused() -> None:
    with pytest.raises(UserError, match="32 rows"):
        recorded(rows=31)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activation_counts": -np.ones(256)}, "at least 0"),
        ({"activation_counts": np.zeros(256)}, "one of them above"),
        ({"weight_counts": np.ones(100)}, "2\\^n codes"),
        ({"activations": np.zeros((3, 1), np.int64)}, "sequences"),
        ({"weights": np.zeros(2, np.int64)}, "as many weights"),
        ({"activations": np.full((3, 4), 256)}, "beyond 255"),
        ({"weights": np.array([0, -1, 0])}, "whole numbers"),
        ({"weights": None}, "lacks the array 'weights'"),
        ({"tile_weights": np.zeros((1, 4, 4), np.int8)}, "go together"),
        ({"tile_weights": np.zeros((1, 4, 4)), "tile_activations": np.zeros((1, 9, 4), np.int8)}, "int8"),
        ({"tile_weights": np.zeros((1, 4, 4), np.int8), "tile_activations": np.zeros((1, 9, 5), np.int8)}, "T, R"),
        ({"tile_weights": np.zeros((0, 4, 4), np.int8), "tile_activations": np.zeros((0, 9, 4), np.int8)}, "one tile"),
    ],
)
def test_a_wrong_workload_file_is_refused_in_one_line(change: dict, message: str, tmp_path: Path) -> None:
    arrays = {"activation_counts": np.ones(256), "weight_counts": np.ones(256),
              "activations": np.zeros((3, 4), np.int64), "weights": np.zeros(3, np.int64)} | change  # fmt: skip
    np.savez(tmp_path / "w.npz", **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(UserError, match=message) as caught:
        load_operands(tmp_path / "w.npz")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w.npz").write_bytes(b"nothing")
    with pytest.raises(UserError, match="not a readable"):
        load_operands(tmp_path / "w.npz")
