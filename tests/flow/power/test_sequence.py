"""Registers cycle by cycle, against models in Python of what the Verilog or the Liberty cells say."""

import re

import numpy as np
import pytest

from slipstick.errors import UserError
from slipstick.flow.library.liberty import default_liberty, load_liberty, parse_liberty
from slipstick.flow.power import activity as module
from slipstick.flow.power.activity import simulate
from slipstick.flow.power.cell_power import Rule
from slipstick.flow.power.clocks import Clocks, clocks_of
from slipstick.flow.power.delays import Delays
from slipstick.flow.power.gates import MappedNetlist
from slipstick.flow.power.glitches import with_glitches
from slipstick.flow.power.measure import measure_power, random_vectors
from slipstick.flow.power.power import PowerModel
from slipstick.flow.power.synth import Synthesis, synthesise

COUNT = 300
REGISTERS = "module top(input clk, rst, en, input [3:0] d, output reg [3:0] q); always @({edge}) {body} endmodule"
ACCUMULATE = "posedge clk", "if (en) q <= q + d;"
DESIGNS = {
    "enable": (("posedge clk", "if (en) q <= d;"), lambda q, rst, en, d: d if en else q),
    "accumulator": (ACCUMULATE, lambda q, rst, en, d: (q + d) % 16 if en else q),
    "synchronous reset": (("posedge clk", "if (rst) q <= 5; else if (en) q <= q + d;"),
                          lambda q, rst, en, d: 5 if rst else (q + d) % 16 if en else q),
    "falling edge": (("negedge clk", "if (en) q <= q ^ d;"), lambda q, rst, en, d: q ^ d if en else q),
}  # fmt: skip


def mapped(text, liberty=None):
    liberty = liberty or default_liberty()
    return MappedNetlist.build(synthesise(text, "top", liberty, clock_ps=10_000), liberty)


def words(seed=0, count=COUNT):
    rng = np.random.default_rng(seed)
    return {name: rng.integers(0, 1 << bits, count) for name, bits in (("rst", 1), ("en", 1), ("d", 4))}


def model(step, given, *, asynchronous=None, late=0):
    """States at the end of every cycle; ``late`` 1 where the register takes the inputs of the same cycle."""
    q, shown = 0, []
    inputs = list(zip(*(given[name].tolist() for name in ("rst", "en", "d")), strict=True))
    for time, now in enumerate(inputs):
        before = now if late or not time else inputs[time - 1]
        q = step(q, *before)
        if asynchronous and (now[0] or (time and inputs[time - 1][0])):
            q = asynchronous - 1
        shown.append(q)
    return shown


@pytest.mark.parametrize("how", DESIGNS)
@pytest.mark.parametrize("segments", [1, 3, 100])
def test_registers_that_hold_and_feed_back_do_what_the_verilog_says(how, segments):
    (edge, body), step = DESIGNS[how]
    netlist = mapped(REGISTERS.format(edge=edge, body=body))
    given = words()
    activity = simulate(netlist, given, segments=segments)
    late = activity.phases == 2  # the other edge comes after the inputs
    length = COUNT // segments
    parts = [{name: one[i * length :][:length] for name, one in given.items()} for i in range(segments)]
    expected = [q for part in parts for q in model(step, part, late=late)]
    assert activity.values("q").tolist() == expected
    assert activity.cycles == segments * (length - 1)


@pytest.mark.parametrize("value", [0, 15])
def test_a_clear_or_preset_acts_at_once(value):
    body = f"if (rst) q <= {value}; else if (en) q <= q + d;"
    netlist = mapped(REGISTERS.format(edge="posedge clk or posedge rst", body=body))
    given = words()
    step = DESIGNS["accumulator"][1]
    assert simulate(netlist, given).values("q").tolist() == model(step, given, asynchronous=value + 1)


def test_both_edges_of_one_clock():
    text = """module top(input clk, rst, en, input [3:0] d, output reg [3:0] q, p, r);
      always @(negedge clk) q <= d;
      always @(posedge clk) p <= q;
      always @(posedge clk) r <= d; endmodule"""
    given = words()
    activity = simulate(mapped(text), given)
    assert activity.phases == 2
    assert activity.values("q").tolist() == given["d"].tolist()  # half a cycle later
    for name in "pr":
        assert activity.values(name)[1:].tolist() == given["d"][:-1].tolist()


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


def test_a_pipeline_costs_the_same_by_phases_as_by_the_rule_of_clocks(monkeypatch):
    text = """module top(input clk, input [3:0] d, output reg [3:0] q); reg [3:0] p;
      always @(posedge clk) begin p <= d; q <= p + d; end endmodule"""
    netlist = mapped(text)
    given = {"d": np.random.default_rng(5).integers(0, 16, 400)}
    plain = simulate(netlist, given, segments=4, settle=3)
    monkeypatch.setattr(module, "_settle", lambda *_: False)
    cycles = simulate(netlist, given, segments=4, settle=3)
    two = Clocks(clocks_of(netlist).roots, False, False, {})
    for place in ("activity", "sequence"):
        monkeypatch.setattr(f"slipstick.flow.power.{place}.clocks_of", lambda _: two)
    phases = simulate(netlist, given, segments=4, settle=3)
    assert (plain.phases, cycles.phases, phases.phases) == (1, 1, 2)
    inner = [net for net in range(2, netlist.net_count) if net not in netlist.clock_nets]
    for other in (cycles, phases):
        assert other.cycles == plain.cycles
        assert np.array_equal(other.toggles[inner], plain.toggles[inner])
        assert np.allclose(other.density, plain.density) and np.allclose(other.probability, plain.probability)
        for rule in Rule:
            model = PowerModel(netlist, clock_ps=10_000, rule=rule)
            for delays in Delays:
                expected = model.report(with_glitches(plain, delays)).total
                assert model.report(with_glitches(other, delays)).total == pytest.approx(expected, rel=1e-9)


def test_random_vectors_leave_resets_at_rest_and_clocks_alone():
    text = """module top(input clk, rst_n, set, en, input [69:0] d, output reg [69:0] q);
      always @(posedge clk or negedge rst_n or posedge set)
        if (!rst_n) q <= 0; else if (set) q <= ~0; else if (en) q <= d; endmodule"""
    text = text.replace(" or posedge set", "").replace("else if (set) q <= ~0; ", "")
    netlist = mapped(text)
    found = random_vectors(netlist, 64, seed=0)
    assert set(found) == {"rst_n", "set", "en", "d"}
    assert found["rst_n"].tolist() == [0] + [1] * 63  # reset once, then at rest
    assert found["d"].shape == (64, 70) and set(found["en"].tolist()) == {0, 1}
    figures = measure_power(
        synthesise(text, "top", default_liberty(), clock_ps=10_000), default_liberty(), found, clock_mhz=100
    )
    assert figures.parts["registers"].total_uw > 0 and figures.vectors == 64
    assert figures.warnings == ("rst_n rests at 1, where it neither clears nor sets registers",)


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


def test_cells_of_the_library_may_stand_in_the_verilog(shared):
    liberty = load_liberty(shared / "liberty" / "sg13g2_stdcell_typ_1p20V_25C.lib.gz")
    text = """module top(input clk, en, rst, input [3:0] d, output reg [3:0] q, output l); wire g;
      sg13g2_slgcp_1 gate(.CLK(clk), .GATE(en), .SCE(rst), .GCLK(g));
      sg13g2_dlhq_1 latch(.GATE(clk), .D(d[0]), .Q(l));
      always @(posedge g) q <= d; endmodule"""
    netlist = mapped(text, liberty)
    assert {one.cell.name for one in netlist.latches} == {"sg13g2_slgcp_1", "sg13g2_dlhq_1"}
    given = {**words(), "rst": np.zeros(COUNT, int)}
    activity = simulate(netlist, given)
    assert activity.values("q").tolist() == model(DESIGNS["enable"][1], given)
    busy, still = (
        measure_power(
            synthesise(text, "top", liberty, clock_ps=10_000), liberty,
            {"en": np.full(COUNT, level), "d": given["d"], "rst": given["rst"]}, clock_mhz=100, delays=delays,
        )
        for level, delays in ((1, Delays.NLDM), (0, Delays.ZERO))
    )  # fmt: skip
    assert busy.parts["registers"].total_uw > 2 * still.parts["registers"].total_uw > 0


def test_opaque_state_is_refused_by_name(toy_text):
    text = toy_text().replace("ff (IQ, IQN)", "ff_bank (IQ, IQN, 2)")
    liberty = parse_liberty(re.sub(r'when : "Q \* !QN"', 'when : "D"', text))
    ports = {"clk": ["input", [2]], "d": ["input", [3]], "q": ["output", [4]]}
    with pytest.raises(UserError, match="cell 'DFF' in 'top' is no gate, flip-flop, latch or clock gate"):
        placed(liberty, {"r": ["DFF", {"CK": [2], "D": [3], "Q": [4]}]}, ports)
