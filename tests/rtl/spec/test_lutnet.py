"""The integer contract of a weightless MLP: NumPy and torch against Python integers, bit by bit."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from slipstick.errors import UserError
from slipstick.rtl.spec.lutnet import LutLayerSpec, LutNetSpec
from slipstick.rtl.spec.residual import residual
from tests.rtl.spec.lutnets import corner_codes, random_layer, random_lutnet

RNG = np.random.default_rng(11)


def by_integers(spec: LutNetSpec, codes: list[int]) -> list[int]:
    """The contract in Python integers, one comparator and one table after another."""
    bits = [int(code > int(t)) for code, row in zip(codes, spec.thresholds, strict=True) for t in row]
    for layer in spec.layers:
        addresses = [sum(bits[b] << place for place, b in enumerate(row)) for row in layer.mapping]
        bits = [int(table[a]) for table, a in zip(layer.tables, addresses, strict=True)]
    sums = [0] * spec.entries.shape[1]
    for bit, row in zip(bits, spec.entries, strict=True):
        if bit:
            sums = [total + int(entry) for total, entry in zip(sums, row, strict=True)]
    return sums


@pytest.mark.parametrize("arity", range(2, 7))
@pytest.mark.parametrize("luts", [(9,), (20, 7), (16, 8, 5)])
def test_numpy_and_torch_compute_the_contract_of_python_integers(arity, luts):
    spec = random_lutnet(luts=luts, arity=arity, seed=arity)
    codes = corner_codes(5, RNG)
    wanted = [by_integers(spec, row.tolist()) for row in codes]
    assert spec(codes).tolist() == wanted
    found = spec(torch.from_numpy(codes), spec.constants(torch.from_numpy))
    assert found.dtype == torch.int64 and found.tolist() == wanted


def test_any_shape_before_the_features_is_kept():
    spec = random_lutnet()
    codes = RNG.integers(-128, 128, (2, 3, 4, 5))
    assert np.array_equal(spec(codes), spec(codes.reshape(-1, 5)).reshape(2, 3, 4, 6))
    assert spec(codes[0, 0, 0]).tolist() == by_integers(spec, codes[0, 0, 0].tolist())


def test_comparators_are_strict_for_every_code_and_threshold():
    identity = LutLayerSpec(np.array([[0, 0]]), np.array([[0, 0, 0, 1]], np.uint8))
    codes = np.arange(-128, 128)
    for threshold in range(-128, 128):
        spec = LutNetSpec(np.array([[threshold]]), (identity,), np.array([[1]]), 2, 1.0, 1.0)
        assert np.array_equal(spec(codes[:, None])[:, 0], codes > threshold)


@pytest.mark.parametrize("arity", range(2, 7))
def test_a_layer_looks_every_address_up_and_input_l_weighs_two_to_the_l(arity):
    tables = RNG.integers(0, 2, (3, 1 << arity)).astype(np.uint8)
    thresholds = np.zeros((arity, 1), np.int64)
    layer = LutLayerSpec(np.tile(np.arange(arity), (3, 1)), tables)
    spec = LutNetSpec(thresholds, (layer,), np.eye(3, dtype=np.int64), 2, 1.0, 1.0)
    for address in range(1 << arity):
        codes = np.array([(address >> place) & 1 for place in range(arity)])
        assert spec(codes).tolist() == tables[:, address].tolist()


def test_no_partial_sum_leaves_the_proved_width_and_one_bit_less_would_not_do():
    for seed in range(20):
        spec = random_lutnet(seed=seed)
        low, high = spec.accumulator_range
        width = spec.accumulator_width
        for positive in (True, False):
            bits = (spec.entries > 0) == positive
            partial = np.cumsum(np.where(bits, spec.entries, 0), 0)
            assert partial.min() >= -(1 << (width - 1)) and partial.max() < 1 << (width - 1)
        assert low < -(1 << (width - 2)) or high >= 1 << (width - 2)


def test_the_stream_after_the_block_is_requantised_and_saturates():
    spec = random_lutnet()
    codes = corner_codes(5, RNG)
    stream = RNG.integers(-(1 << 15), 1 << 15, (len(codes), 6))
    stream[0] = (1 << 15) - 1
    branch = spec.residual(2e-4)
    pair = int(branch.multiplier[0]), int(branch.shift[0])
    wanted = [
        [residual(x, acc, *pair) for x, acc in zip(row, by_integers(spec, code), strict=True)]
        for row, code in zip(stream.tolist(), codes.tolist(), strict=True)
    ]
    assert branch(stream, spec(codes)).tolist() == wanted and max(wanted[0]) == (1 << 15) - 1
    added = branch(np.zeros_like(stream), spec(codes))
    assert np.abs(added - spec(codes) * spec.output_scale / 2e-4).max() <= 0.51


def test_facts_and_arrays_make_the_same_block():
    spec = random_lutnet()
    again = LutNetSpec.from_parts(spec.to_json(), spec.arrays())
    codes = corner_codes(5, RNG)
    assert np.array_equal(again(codes), spec(codes)) and again.to_json() == spec.to_json()
    assert spec.to_json()["luts"] == [12, 7] and spec.to_json()["accumulator_width"] == spec.accumulator_width
    arrays = spec.arrays()
    del arrays["layers.1.tables"]
    with pytest.raises(UserError, match=r"layers\.1\.tables' is missing"):
        LutNetSpec.from_parts(spec.to_json(), arrays)


def test_fan_outs_count_the_inputs_that_a_bit_drives():
    layer = LutLayerSpec(np.array([[0, 0], [3, 1]]), np.zeros((2, 4), np.uint8))
    assert layer.fan_outs.tolist() == [2, 1, 0, 1]


@pytest.mark.parametrize("arity", [1, 7])
def test_tables_have_two_to_six_inputs(arity):
    with pytest.raises(UserError, match="tables have 2 to 6 inputs"):
        random_layer(9, 4, arity, RNG)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (np.full((2, 4), 2, np.uint8), "not binary"),
        (np.full((2, 4), 0.5), "not binary"),
        (np.zeros((2, 8), np.uint8), "cannot have the shape"),
        (np.zeros((3, 4), np.uint8), "cannot have the shape"),
    ],
)
def test_tables_that_are_not_binary_or_do_not_fit_are_refused(tables, message):
    with pytest.raises(UserError, match=message):
        LutLayerSpec(np.zeros((2, 2), np.int64), tables)
    with pytest.raises(UserError, match="negative bit"):
        LutLayerSpec(np.array([[0, -1]]), np.zeros((1, 4), np.uint8))


SPEC = random_lutnet()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"entry_width": 4}, "an entry overflows its 4 bits"),
        ({"entries": np.full((7, 6), 128)}, "an entry overflows its 8 bits"),
        ({"entries": np.full((7, 6), -129)}, "an entry overflows its 8 bits"),
        ({"entry_width": 17}, "overflows its 17 bits"),
        ({"entries": SPEC.entries[:-1]}, "6 rows of entries for 7 bits"),
        ({"thresholds": SPEC.thresholds[:1]}, "layer 0: the mapping names bit 14, there are 3"),
        ({"layers": (SPEC.layers[0], SPEC.layers[0])}, "layer 1: the mapping names bit 14, there are 12"),
        ({"layers": ()}, "no layer"),
        ({"thresholds": SPEC.thresholds[:, ::-1]}, "do not ascend"),
        ({"thresholds": SPEC.thresholds * 2}, "outside int8"),
        ({"thresholds": SPEC.thresholds[:, 0]}, r"are not \[D, T\]"),
        ({"output_scale": 0.0}, "scales must be positive"),
    ],
)
def test_blocks_that_cannot_be_are_refused(change, message):
    with pytest.raises(UserError, match=message):
        replace(SPEC, **change)
