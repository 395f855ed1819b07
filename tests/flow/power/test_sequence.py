"""Registers cycle by cycle, against models in Python of what the Verilog or the Liberty cells say."""

import numpy as np
import pytest

from slipstick.flow.library.liberty import default_liberty, load_liberty
from slipstick.flow.power import activity as module
from slipstick.flow.power.activity import simulate
from slipstick.flow.power.cell_power import Rule
from slipstick.flow.power.clocks import Clocks, clocks_of
from slipstick.flow.power.delays import Delays
from slipstick.flow.power.gates import MappedNetlist
from slipstick.flow.power.glitches import with_glitches
from slipstick.flow.power.measure import measure_power, random_vectors
from slipstick.flow.power.power import PowerModel
from slipstick.flow.power.synth import synthesise

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
