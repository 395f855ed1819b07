"""The weightless MLP unit's Verilog computes the spec: any tables, any parallelism, whatever the timing."""

import re

import numpy as np
import pytest

from slipstick.rtl.lutnet.unit import LutNetUnit
from slipstick.rtl.spec.lutnet import LutNetSpec
from slipstick.rtl.verilog.emit import to_verilog
from slipstick.sim.vector import UnitResult, cosimulate_rows
from tests.rtl.spec.lutnets import corner_codes, random_lutnet

ROWS = 68


def rows(spec: LutNetSpec) -> list[np.ndarray]:
    """Corner rows, random ones, and every threshold with the code below and above it."""
    codes = corner_codes(len(spec.thresholds), np.random.default_rng(5)).astype(np.int64)
    edges = (spec.thresholds.T[:, None] + np.array([[-1], [0], [1]])).reshape(-1, len(spec.thresholds))
    return [*codes, *np.clip(edges, -128, 127)]


def cosimulate(spec: LutNetSpec, lanes: int, parallel: int, backpressure: float = 0.0) -> UnitResult:
    given = rows(spec)
    wanted = [spec(row) for row in given]
    assert len(np.unique(wanted, axis=0)) > len(given) // 4  # the tables tell the rows apart
    result = cosimulate_rows(LutNetUnit(spec, lanes, parallel), given, wanted, seed=4, backpressure=backpressure)
    assert result.mismatches == 0, result
    assert result.compared == len(given) * len(spec.thresholds)
    return result


@pytest.mark.parametrize("backpressure", [0.0, 0.4])
@pytest.mark.parametrize(
    ("arity", "luts", "lanes", "parallel"),
    [(2, (17,), 1, 1), (3, (12, 9), 2, 4), (4, (20,), 3, 20), (5, (14, 10), 5, 3), (6, (12, 9, 8), 6, 5)],
)
def test_every_accumulator_of_every_row_agrees(
    arity: int, luts: tuple[int, ...], lanes: int, parallel: int, backpressure: float
) -> None:
    spec = random_lutnet(6, 5, luts, arity, outputs=6, seed=arity)
    cosimulate(spec, lanes, parallel, backpressure)


@pytest.mark.parametrize(("entry_width", "seed"), [(2, 1), (12, 2), (16, 3)])
def test_entries_of_any_width_agree(entry_width: int, seed: int) -> None:
    cosimulate(random_lutnet(7, 4, (24, 15), 4, outputs=7, entry_width=entry_width, seed=seed), 2, 4, 0.3)


@pytest.mark.parametrize("parallel", [1, 4, 32])
def test_a_row_takes_the_cycles_of_its_beats_or_of_its_sum(parallel: int) -> None:
    spec = random_lutnet(12, 3, (40, 32), 4, outputs=12)
    result = cosimulate(spec, 3, parallel)
    row = max(4, 32 // parallel)
    assert (ROWS + 9) * row <= result.cycles <= (ROWS + 9) * row + 3 * row + 20


def test_a_bit_read_in_the_wrong_cycle_is_found_where_it_is() -> None:
    spec = random_lutnet(6, 4, (16, 10), 4, outputs=6)
    unit = LutNetUnit(spec, 2, 3)
    broken, count = re.subn(r"bits <= step_bits;", "bits <= ~step_bits;", to_verilog(unit, "unit"))
    assert count == 1
    given = rows(spec)
    result = cosimulate_rows(unit, given, [spec(row) for row in given], seed=1, verilog=broken)
    first = result.first_mismatches[0]
    assert first.wanted == spec(given[first.row])[first.element] != first.got
    assert str(first).startswith(f"lutnet_d6_n10_p2_s3 row {first.row} element {first.element} cycle")
