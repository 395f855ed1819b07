"""The softmax unit's Verilog computes the spec on whole rows, whatever their length and the timing."""

import re

import numpy as np
import pytest

from slipstick.rtl.spec.fixed import Requant
from slipstick.rtl.spec.softmax import SoftmaxSpec
from slipstick.rtl.vector.softmax import SoftmaxUnit
from slipstick.rtl.verilog.emit import to_verilog
from slipstick.sim.vector import cosimulate_rows
from tests.rtl.tables import chords

LENGTH = 70
SCALE = 1 / 4000  # of an accumulator


def spec(length: int = LENGTH, entries: int = 8) -> SoftmaxSpec:
    exponential, reciprocal = chords("exp", 4, entries), chords("reciprocal", 6, entries)
    requant = Requant.from_scale(np.array([SCALE * 2**exponential.input_fraction]))
    return SoftmaxSpec(int(requant.multiplier[0]), int(requant.shift[0]), exponential, reciprocal, length)


def rows(rng: np.random.Generator, count: int, length: int = LENGTH) -> list[np.ndarray]:
    """Corner rows, then random ones of all lengths."""
    low, high = -(1 << 31), (1 << 31) - 1
    corners = [
        np.zeros(length, np.int64), np.full(length, low), np.full(length, high), np.array([5]), np.array([low]),
        np.where(np.arange(length) == 3, high, low), np.where(np.arange(length) == 0, 9_000_000, 0),
        np.tile([low, high], length // 2), np.arange(length) * 300, -np.arange(length) * 40,
    ]  # fmt: skip
    lengths = rng.integers(1, length + 1, count)
    return corners + [np.rint(rng.normal(0, 8000, some)).astype(np.int64) for some in lengths]


@pytest.mark.parametrize("backpressure", [0.0, 0.4])
@pytest.mark.parametrize("lanes", [1, 4])
def test_every_probability_of_every_row_agrees(lanes: int, backpressure: float) -> None:
    one = spec()
    given = rows(np.random.default_rng(2), 80)
    wanted = [one(row) for row in given]
    result = cosimulate_rows(SoftmaxUnit(one, lanes), given, wanted, seed=4, backpressure=backpressure)
    assert result.mismatches == 0, result
    assert result.compared == sum(map(len, given))


@pytest.mark.parametrize(("lanes", "length"), [(1, 70), (4, 70), (4, 7), (2, 1)])
def test_rows_follow_each_other_without_a_pause(lanes: int, length: int) -> None:
    one = spec(length)
    given = list(np.rint(np.random.default_rng(3).normal(0, 8000, (100, length))).astype(np.int64))
    result = cosimulate_rows(SoftmaxUnit(one, lanes), given, [one(row) for row in given], seed=4)
    beats = -(-length // lanes)
    assert result.mismatches == 0, result
    assert result.cycles <= 100 * beats + 2 * beats + 40  # two rows and the registers of latency


def test_a_wrong_rounding_is_found_where_it_is() -> None:
    one = spec()
    unit = SoftmaxUnit(one, 2)
    given = rows(np.random.default_rng(2), 20)
    text = to_verilog(unit, "unit")
    broken, count = re.subn(r"third_place <= (.*);", r"third_place <= \1 ^ 1;", text)
    assert count == 1
    result = cosimulate_rows(unit, given, [one(row) for row in given], seed=1, verilog=broken)
    first = result.first_mismatches[0]
    assert first.wanted == one(given[first.row])[first.element] != first.got
    where = f"softmax_t70_p2 row {first.row} element {first.element} cycle {first.cycle}"
    assert str(first) == f"{where}: got {first.got}, wanted {first.wanted}"
