"""Playing a unit alone: a stuck or hasty unit is an error, and so are beats that do not fit it."""

import numpy as np
import pytest

from slipstick.errors import UserError
from slipstick.rtl.spec.softmax import SoftmaxSpec
from slipstick.rtl.vector.pwl import PwlUnit
from slipstick.rtl.vector.softmax import SoftmaxUnit
from slipstick.rtl.verilog.emit import to_verilog
from slipstick.sim.runner import SimulationError
from slipstick.sim.unit import Part, parts, play
from tests.rtl.tables import chords

BEATS = {"i.payload": np.arange(-20, 20).reshape(20, 2)}
READY = "assign i__ready = expression_1 | o__ready;"


@pytest.fixture
def unit() -> PwlUnit:
    return PwlUnit(chords("tanh", 4, 8), 40_000, 18, lanes=2)


def test_a_stuck_unit_is_an_error_not_a_hang(unit, tmp_path) -> None:
    stuck = to_verilog(unit, "unit").replace(READY, "assign i__ready = 1'h0;")
    with pytest.raises(SimulationError, match=r"has not ended after \d+ cycles"):
        play(unit, BEATS, 20, tmp_path, seed=1, verilog=stuck)


def test_an_answer_that_does_not_wait_is_an_error(unit, tmp_path) -> None:
    text = to_verilog(unit, "unit")
    hasty = text.replace(READY, "assign i__ready = 1'h1;")
    assert hasty != text
    with pytest.raises(SimulationError):
        play(unit, BEATS, 20, tmp_path, seed=1, stall=0.5, verilog=hasty)


@pytest.mark.parametrize(
    ("beats", "message"),
    [
        ({"codes": np.zeros(3)}, r"no input parts \['codes'\]; there are \['i.payload'\]"),
        ({}, r"must be of one length, not \[\]"),
    ],
)
def test_beats_that_do_not_fit_are_refused(unit, beats, message: str, tmp_path) -> None:
    with pytest.raises(UserError, match=message):
        play(unit, beats, 1, tmp_path, seed=1)


def test_the_parts_of_a_beat_are_the_leaves_of_its_layout() -> None:
    spec = SoftmaxSpec(40_000, 24, chords("exp", 4, 8), chords("reciprocal", 6, 8), length=5)
    softmax = SoftmaxUnit(spec, 3, width=20)
    rest = [Part("i.payload.keep", 3, False), Part("i.payload.last", 1, False)]
    assert parts(softmax, inputs=True) == [Part("i.payload.data", 20, True, 3), *rest]
