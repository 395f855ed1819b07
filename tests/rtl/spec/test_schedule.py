"""The schedule turns matrix products into beats and answers back into matrices."""

import numpy as np
import pytest

from slipstick.errors import UserError
from slipstick.rtl.cells import cell
from slipstick.rtl.spec.array import ArrayConfig, CellMix, matmul, padding_sums
from slipstick.rtl.spec.fixed import Requant
from slipstick.rtl.spec.schedule import COLUMN_FIELDS, Kind, pack, required_depth, schedule

COMPENSATED = "truncated8s_k6_c1"  # table[0, 0] == 64


def config(rows: int, *names: str) -> ArrayConfig:
    return ArrayConfig(rows, len(names), CellMix.by_column([cell(n) for n in names], rows=rows, columns=len(names)))


def interpret(config: ArrayConfig, plan, accumulator_rows: int) -> np.ndarray:
    """A naive accelerator: answer lanes int32 [n, C] of a schedule, without requantisation."""
    memory = np.zeros((accumulator_rows, config.columns), np.int64)
    weights = np.zeros((config.rows, config.columns), np.int8)
    bias, row, lanes = np.zeros(config.columns, np.int64), 0, []
    for kind, data in zip(plan.beats.kind, plan.beats.data, strict=True):
        if kind == Kind.COLUMN:
            bias[int(data[6:8].view("<u2")[0]) >> 6] = data[:4].view("<i4")[0]
        elif kind == Kind.WEIGHTS:
            weights, row = np.vstack([data[: config.columns].view(np.int8), weights[:-1]]), 0
        elif kind in (Kind.ACTIVATIONS, Kind.ACTIVATIONS_FIRST):
            sums = matmul(config, data[None, : config.rows].view(np.int8), weights)[0]
            memory[row] = sums + (bias if kind == Kind.ACTIVATIONS_FIRST else memory[row])
            row += 1
        else:
            lanes += [memory[row].copy() for row in range(int(data[:2].view("<u2")[0]) + 1)]
    return np.array(lanes, np.int32)


@pytest.mark.parametrize("m, k, n, accumulator_rows", [(1, 1, 1, 4), (5, 7, 5, 8), (9, 6, 4, 4), (3, 3, 8, 256)])
def test_beats_compute_the_product_with_bias_and_padding(m: int, k: int, n: int, accumulator_rows: int) -> None:
    array, columns = config(3, "exact8s", COMPENSATED, "drum8s_k3"), (1, 2)
    rng = np.random.default_rng(m)
    activations = rng.integers(-128, 128, (m, k)).astype(np.int8)
    weights = rng.integers(-128, 128, (k, n)).astype(np.int8)
    bias = rng.integers(-9999, 9999, n).astype(np.int32)
    plan = schedule(
        array, activations, weights, bias, Requant.from_scale(np.full(n, 0.01)),
        columns=columns, accumulator_rows=accumulator_rows, drains=[Kind.DRAIN_ACCUMULATORS],
    )  # fmt: skip
    lanes = interpret(array, plan, accumulator_rows)
    assert len(lanes) == plan.answers == plan.answers_of_beats.sum()
    got = plan.gather(lanes)[Kind.DRAIN_ACCUMULATORS]
    np.testing.assert_array_equal(got, matmul(array, activations, weights, columns) + bias)
    number = plan.answer_number(Kind.DRAIN_ACCUMULATORS, m - 1, n - 1)
    assert lanes[number, columns[(n - 1) % 2]] == got[-1, -1]


def test_padding_counts_what_cells_make_of_zero_times_zero() -> None:
    array = config(4, "exact8s", COMPENSATED)
    assert padding_sums(array, 6, 3, (0, 1)).tolist() == [0, 128, 0]
    assert padding_sums(array, 8, 3, (0, 1)).tolist() == [0, 0, 0]


def test_depth_grows_with_the_tiles_and_with_the_bias() -> None:
    array = config(4, "exact8s")
    assert required_depth(array, 20, np.zeros(1, np.int32), (0,)) == 8
    assert required_depth(array, 4, np.array([10**7]), (0,)) == 64  # 25 bits
    with pytest.raises(UserError, match="does not fit 32-bit accumulators"):
        required_depth(array, 4, np.array([2**31 - 1]), (0,))


def test_fields_are_packed_lowest_first_in_twos_complement() -> None:
    data = pack(COLUMN_FIELDS, bias=[-2], multiplier=[65535], shift=[63], column=[5])
    assert data.view("<u8")[0, 0] == (5 << 54) | (63 << 48) | (65535 << 32) | 0xFFFFFFFE


@pytest.mark.parametrize(
    ("name", "value"),
    [("bias", 1 << 31), ("bias", -(1 << 31) - 1), ("multiplier", -1), ("shift", 64), ("column", 1024)],
)
def test_a_value_that_does_not_fit_its_field_is_refused(name: str, value: int) -> None:
    values = {"bias": 0, "multiplier": 1, "shift": 0, "column": 0} | {name: value}
    with pytest.raises(UserError, match=f"{name} = {value} does not fit"):
        pack(COLUMN_FIELDS, **values)


def test_a_requantiser_that_does_not_fit_a_drain_is_refused() -> None:
    ones = np.ones((1, 1), np.int8)
    requant = Requant(np.array([1]), np.array([1]), zero=200)
    with pytest.raises(UserError, match="zero = 200"):
        schedule(config(1, "exact8s"), ones, ones, np.zeros(1, np.int32), requant)
