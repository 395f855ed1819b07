"""The activation unit's Verilog computes the spec, channel by channel, every code of the table, whatever the timing."""

import numpy as np
import pytest

from slipstick.errors import UserError
from slipstick.rtl.spec.activation import ActivationSpec
from slipstick.rtl.spec.fixed import Requant
from slipstick.rtl.vector.activation import STAGES, ActivationUnit
from slipstick.sim.vector import cosimulate_rows
from tests.rtl.tables import chords

CORNERS = (-(1 << 31), -1, 0, 1, (1 << 31) - 1)


def spec(channels: int, width: int) -> ActivationSpec:
    table = chords("gelu", width - 4, 8, width)
    found = Requant.from_scale(np.random.default_rng(channels).uniform(0.001, 0.4, channels), *table.input_range)
    return ActivationSpec(found, table, Requant.from_scale(np.array([200 / np.abs(table.results).max()])))


@pytest.mark.parametrize("backpressure", [0.0, 0.4])
@pytest.mark.parametrize(("lanes", "channels", "length", "width"), [(1, 12, 12, 12), (4, 14, 14, 10), (2, 1, 9, 8)])
def test_every_output_agrees(lanes: int, channels: int, length: int, width: int, backpressure: float) -> None:
    one, rng = spec(channels, width), np.random.default_rng(9)
    low, high = one.table.input_range
    ratio = one.before.multiplier * 2.0**-one.before.shift
    every = [np.rint(np.full(length, code) / ratio[:1] if channels == 1 else code / ratio) for code in range(low, high)]
    given = [np.full(length, corner) for corner in CORNERS] + [row.astype(np.int64) for row in every]
    given += [np.rint(rng.normal(0, 2 * high / ratio.min(), length)).astype(np.int64) for _ in range(30)]
    wanted = [one(row) for row in given]
    assert {-1, 0, 127} <= set(np.concatenate(wanted).tolist())  # the largest results saturate
    result = cosimulate_rows(ActivationUnit(one, lanes), given, wanted, seed=4, backpressure=backpressure)
    assert result.mismatches == 0, result
    assert result.compared == length * len(given)
    if not backpressure:
        assert result.cycles <= len(given) * -(-length // lanes) + STAGES + 10  # one beat a cycle


def test_a_unit_without_lanes_is_refused() -> None:
    with pytest.raises(UserError, match="at least one lane, not 0"):
        ActivationUnit(spec(1, 8), 0)
