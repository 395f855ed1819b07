"""The LayerNorm unit's Verilog computes the spec on whole rows, corners included, whatever the timing."""

import re

import numpy as np
import pytest

from slipstick.rtl.spec.layernorm import LayerNormSpec
from slipstick.rtl.vector.layernorm import LayerNormUnit
from slipstick.rtl.verilog.emit import to_verilog
from slipstick.sim.vector import cosimulate_rows
from tests.rtl.tables import chords

LOW, HIGH = -(1 << 15), (1 << 15) - 1


def spec(dim: int, entries: int = 8) -> LayerNormSpec:
    rng = np.random.default_rng(dim)
    weight, bias = rng.normal(1, 0.4, dim), rng.normal(0, 0.5, dim)
    return LayerNormSpec.from_float(weight, bias, 1e-6, 1 / 512, 1 / 32, chords("rsqrt", 5, entries))


def rows(rng: np.random.Generator, dim: int, count: int) -> list[np.ndarray]:
    """Corner rows, then random ones of several spreads around several means."""
    place = np.arange(dim)
    corners = [
        np.zeros(dim, np.int64), np.full(dim, LOW), np.full(dim, HIGH), np.where(place == dim // 2, HIGH, 0),
        np.where(place == 0, LOW, HIGH), np.where(place % 2, HIGH, LOW), np.where(place == dim - 1, 1, 0), place - 5,
    ]  # fmt: skip
    spread, mean = rng.choice([1, 20, 400, 9000], count), rng.choice([0, -300, 20000], count)
    drawn = np.rint(rng.normal(0, 1, (count, dim)) * spread[:, None] + mean[:, None])
    return corners + list(np.clip(drawn, LOW, HIGH).astype(np.int64))


@pytest.mark.parametrize("backpressure", [0.0, 0.4])
@pytest.mark.parametrize(("lanes", "dim"), [(1, 48), (4, 48), (4, 50)])
def test_every_output_of_every_row_agrees(lanes: int, dim: int, backpressure: float) -> None:
    one = spec(dim)
    given = rows(np.random.default_rng(2), dim, 60)
    wanted = [one(row) for row in given]
    assert {-128, 127} <= set(np.concatenate(wanted).tolist())  # outputs saturate too
    result = cosimulate_rows(LayerNormUnit(one, lanes), given, wanted, seed=4, backpressure=backpressure)
    assert result.mismatches == 0, result
    assert result.compared == dim * len(given)


@pytest.mark.parametrize(("lanes", "dim"), [(1, 48), (4, 8), (4, 4)])
def test_rows_follow_each_other_without_a_pause(lanes: int, dim: int) -> None:
    one = spec(dim)
    given = rows(np.random.default_rng(3), dim, 92)
    result = cosimulate_rows(LayerNormUnit(one, lanes), given, [one(row) for row in given], seed=4)
    beats = -(-dim // lanes)
    assert result.mismatches == 0, result
    assert result.cycles <= 100 * beats + 2 * beats + 40  # two rows and the registers of latency


def test_a_wrong_exponent_is_found_where_it_is() -> None:
    one = spec(48)
    unit = LayerNormUnit(one, 2)
    given = rows(np.random.default_rng(2), 48, 5)
    broken, count = re.subn(r"third_half <= (.*);", r"third_half <= \1 ^ 1;", to_verilog(unit, "unit"))
    assert count == 1
    result = cosimulate_rows(unit, given, [one(row) for row in given], seed=1, verilog=broken)
    first = result.first_mismatches[0]
    assert first.wanted == one(given[first.row])[first.element] != first.got
    where = f"layernorm_d48_p2 row {first.row} element {first.element} cycle {first.cycle}"
    assert str(first) == f"{where}: got {first.got}, wanted {first.wanted}"
