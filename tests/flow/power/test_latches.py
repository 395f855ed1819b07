"""Latches, clock gates and registers that are both cleared and set, against what their Liberty groups say."""

import re

import numpy as np
import pytest

from slipstick.errors import UserError
from slipstick.flow.library.liberty import parse_liberty
from slipstick.flow.power.activity import simulate
from slipstick.flow.power.clocks import clocks_of
from slipstick.flow.power.gates import MappedNetlist
from slipstick.flow.power.power import PowerModel
from slipstick.flow.power.synth import Synthesis

CELLS = """
  cell (DFFRS) {{ area : 9; ff (IQ, IQN) {{ clocked_on : "!CN"; next_state : "D"; clear : "!R"; preset : "S";
      clear_preset_var1 : {both}; }}
    {CN} {D} {R} {S} pin (Q) {{ direction : output; function : "IQ"; }} }}
  cell (LAT) {{ area : 5; latch (IQ, IQN) {{ enable : "G"; data_in : "D"; }} {G} {D}
    pin (Q) {{ direction : output; function : "IQ"; timing () {{ related_pin : "G"; timing_type : rising_edge; }} }}
    pin (QN) {{ direction : output; function : "IQN"; }} }}
  cell (GATE) {{ area : 6; clock_gating_integrated_cell : "latch_posedge_precontrol";
    statetable ("CK E T", "IN") {{ table : "L L L : - : L , \\
      L H - : - : H, L - H : - : H , H - - : - : N"; }}
    pin (IN) {{ direction : internal; internal_node : "IN"; }}
    pin (CK) {{ direction : input; capacitance : 0.003; clock : true; clock_gate_clock_pin : true; }}
    pin (E) {{ direction : input; capacitance : 0.003; clock_gate_enable_pin : true; }}
    pin (T) {{ direction : input; capacitance : 0.003; clock_gate_test_pin : true; }}
    pin (GCK) {{ direction : output; clock_gate_out_pin : true; state_function : "CK IN"; }} }}
"""


@pytest.fixture
def more(toy_text):
    """The toy library with a register that is cleared and set, a latch and a clock gate."""

    def build(both="L"):
        pins = {name: f"pin ({name}) {{ direction : input; capacitance : 0.003; }}" for name in ("CN", *"DRSG")}
        text = toy_text()
        return parse_liberty(text[: text.rindex("}")] + CELLS.format(both=both, **pins) + "}")

    return build


def placed(liberty, cells, ports):
    nets = {name: bits for name, (_, bits) in ports.items()}
    return MappedNetlist.build(
        Synthesis("top", 0.0, 0.0, None, {}, {"ports": ports, "cells": cells, "nets": nets}, ""), liberty
    )


@pytest.mark.parametrize(("both", "shown"), [("L", 0), ("H", 1), ("N", None), ("X", 0)])
def test_clear_and_preset_together_do_what_the_library_says(more, both, shown):
    ports = {"clk": ["input", [2]], "d": ["input", [3]], "r": ["input", [4]], "s": ["input", [5]], "q": ["output", [6]]}
    cells = {"f": ["DFFRS", {"CN": [2], "D": [3], "R": [4], "S": [5], "Q": [6]}]}
    netlist = placed(more(both), cells, ports)
    rng = np.random.default_rng(2)
    given = {name: rng.integers(0, 2, 200) for name in "drs"}
    found, state = simulate(netlist, given).values("q").tolist(), 0
    for time in range(200):
        before = max(time - 1, 0)
        if given["r"][before] and not given["s"][before]:
            state = int(given["d"][before])
        clear, preset = not given["r"][time], given["s"][time]
        if clear and preset:
            state = state if shown is None else shown
        elif clear or preset:
            state = int(preset)
        assert found[time] == state, time


def test_a_latch_follows_while_it_is_open_and_holds_then(more):
    ports = {"g": ["input", [2]], "d": ["input", [3]], "q": ["output", [4]], "n": ["output", [5]]}
    netlist = placed(more(), {"l": ["LAT", {"G": [2], "D": [3], "Q": [4], "QN": [5]}]}, ports)
    rng = np.random.default_rng(3)
    given, held, shown = {name: rng.integers(0, 2, 100) for name in "gd"}, 0, []
    for g, d in zip(given["g"], given["d"], strict=True):
        held = int(d) if g else held
        shown.append(held)
    activity = simulate(netlist, given)
    assert activity.values("q").tolist() == shown
    assert activity.values("n").tolist() == [1 - one for one in shown]


def gated(liberty):
    """q takes d at edges of a clock that passes where e or t was 1 while it was low."""
    ports = {
        "clk": ["input", [2]], "e": ["input", [3]], "t": ["input", [4]], "d": ["input", [5]], "q": ["output", [7]],
    }  # fmt: skip
    cells = {
        "g": ["GATE", {"CK": [2], "E": [3], "T": [4], "GCK": [6]}],
        "r": ["DFF", {"CK": [6], "D": [5], "Q": [7]}],
    }
    return placed(liberty, cells, ports)


def test_a_clock_gate_lets_edges_pass_that_were_enabled_before(more):
    rng = np.random.default_rng(4)
    given = {name: rng.integers(0, 2, 200) for name in "etd"}
    netlist = gated(more())
    activity = simulate(netlist, given)
    q, shown = 0, []
    for time in range(200):
        before = max(time - 1, 0)
        q = int(given["d"][before]) if given["e"][before] or given["t"][before] else q
        shown.append(q)
    assert activity.values("q").tolist() == shown
    passed = sum(int(given["e"][t] or given["t"][t]) for t in range(199))
    nets = netlist.latches[0].nets
    assert activity.toggles[nets["GCK"]] == 2 * passed and activity.toggles[nets["CK"]] == 2 * activity.cycles


def test_clock_pins_behind_a_closed_gate_cost_nothing(more):
    netlist = gated(more())
    still = {"t": np.zeros(101, int), "d": np.zeros(101, int)}
    loads = {}
    for name, level in (("open", 1), ("closed", 0)):
        activity = simulate(netlist, {**still, "e": np.full(101, level)}, settle=2)
        loads[name] = PowerModel(netlist, clock_ps=1000).report(activity).total.switching_fj
    per_pin = 0.5 * 3.0 * 2.0**2  # fJ a transition, of 3 fF at 2 V
    assert loads["open"] - loads["closed"] == pytest.approx(2 * per_pin)
    assert loads["closed"] == pytest.approx(2 * per_pin)  # the gate's own clock pin


def test_a_pair_of_latches_that_feeds_back_is_no_loop(more):
    """Master open while the clock is low, slave while it is high: a register of one inverter that toggles."""
    ports = {"clk": ["input", [2]], "d": ["input", [9]], "q": ["output", [5]]}
    cells = {
        "n": ["INV", {"A": [2], "Y": [3]}],
        "master": ["LAT", {"G": [3], "D": [6], "Q": [4]}],
        "slave": ["LAT", {"G": [2], "D": [4], "Q": [5]}],
        "i": ["INV", {"A": [5], "Y": [6]}],
        "r": ["DFF", {"CK": [2], "D": [9], "Q": [7]}],
    }
    shown = simulate(placed(more(), cells, ports), {"d": np.zeros(20, int)}).values("q").tolist()
    assert shown == [1, 0] * 10


def test_latches_that_oscillate_are_told(more):
    ports = {"g": ["input", [2]], "q": ["output", [4]]}
    cells = {"l": ["LAT", {"G": [2], "D": [5], "Q": [4]}], "i": ["INV", {"A": [4], "Y": [5]}]}
    with pytest.raises(UserError, match=r"do not settle within a cycle.*--activity"):
        simulate(placed(more(), cells, ports), {"g": np.ones(8, int)})


def test_a_gated_clock_needs_an_input_called_clock(more):
    ports = {"a": ["input", [2]], "b": ["input", [3]], "d": ["input", [4]], "q": ["output", [7]]}
    cells = {
        "n": ["NAND", {"A": [2], "B": [3], "Y": [5]}],
        "i": ["INV", {"A": [5], "Y": [6]}],
        "r": ["DFF", {"CK": [6], "D": [4], "Q": [7]}],
    }
    with pytest.raises(UserError, match="none of its inputs a, b is called clk"):
        clocks_of(placed(more(), cells, ports))
    named = {{"a": "core_clk"}.get(name, name): one for name, one in ports.items()}
    netlist = placed(more(), cells, named)
    assert clocks_of(netlist).roots == {2} and not clocks_of(netlist).is_simple
    given = {name: np.random.default_rng(6).integers(0, 2, 50) for name in "bd"}
    activity = simulate(netlist, given)
    assert activity.toggles[2] == 2 * 49


def test_opaque_state_is_refused_by_name(toy_text):
    text = toy_text().replace("ff (IQ, IQN)", "ff_bank (IQ, IQN, 2)")
    liberty = parse_liberty(re.sub(r'when : "Q \* !QN"', 'when : "D"', text))
    ports = {"clk": ["input", [2]], "d": ["input", [3]], "q": ["output", [4]]}
    with pytest.raises(UserError, match="cell 'DFF' in 'top' is no gate, flip-flop, latch or clock gate"):
        placed(liberty, {"r": ["DFF", {"CK": [2], "D": [3], "Q": [4]}]}, ports)
