"""The residual unit's Verilog computes the spec, channel by channel, corners included, whatever the timing."""

import numpy as np
import pytest

from slipstick.rtl.spec.fixed import Requant
from slipstick.rtl.spec.residual import HIGH, LOW, ResidualSpec
from slipstick.rtl.vector.residual import ResidualUnit
from slipstick.sim.vector import cosimulate_rows

LEAST, MOST = -(1 << 31), (1 << 31) - 1


def spec(channels: int) -> ResidualSpec:
    found = Requant.from_scale(np.random.default_rng(channels).uniform(0.001, 0.4, channels))
    return ResidualSpec(found.multiplier, found.shift)


def rows(length: int, count: int) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(9)
    corners = [(x, sum_) for x in (LOW, -1, 0, HIGH) for sum_ in (LEAST, -1, 0, 1, MOST)]
    given = [{"data": np.full(length, x), "accumulators": np.full(length, sum_)} for x, sum_ in corners]
    for _ in range(count):
        accumulators = np.rint(rng.normal(0, 60_000, length)).astype(np.int64)
        given.append({"data": rng.integers(LOW, HIGH, length, endpoint=True), "accumulators": accumulators})
    return given


@pytest.mark.parametrize("backpressure", [0.0, 0.4])
@pytest.mark.parametrize(("lanes", "channels", "length"), [(1, 12, 12), (4, 12, 12), (4, 14, 14), (2, 1, 9)])
def test_every_sum_agrees(lanes: int, channels: int, length: int, backpressure: float) -> None:
    one = spec(channels)
    given = rows(length, 60)
    wanted = [one(row["data"], row["accumulators"]) for row in given]
    assert {LOW, HIGH} <= set(np.concatenate(wanted).tolist())  # sums saturate at both ends
    unit = ResidualUnit(one, lanes)
    result = cosimulate_rows(unit, given, wanted, seed=4, backpressure=backpressure)
    assert result.mismatches == 0, result
    assert result.compared == length * len(given)
    if not backpressure:
        assert result.cycles <= len(given) * -(-length // lanes) + 20  # one beat a cycle
