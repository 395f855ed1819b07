"""Activity out to SAIF and back, and in from the VCD of an independent simulator."""

import re
import subprocess

import numpy as np
import pytest

from slipstick.errors import UserError
from slipstick.flow.cost.multiplier import MULTIPLIER, multiplier_verilog
from slipstick.flow.library.boolean import parse
from slipstick.flow.library.liberty import default_liberty
from slipstick.flow.power.activity import simulate
from slipstick.flow.power.cell_power import Rule
from slipstick.flow.power.delays import Delays
from slipstick.flow.power.gates import MappedNetlist
from slipstick.flow.power.glitches import with_glitches
from slipstick.flow.power.measure import random_vectors
from slipstick.flow.power.netlist_verilog import netlist_verilog
from slipstick.flow.power.power import PowerModel
from slipstick.flow.power.saif import read_saif, write_saif
from slipstick.flow.power.synth import synthesise
from slipstick.flow.power.vcd import read_vcd
from slipstick.rtl.cells.registry import cell
from tests.flow.power.designs import ELEMENT, element_verilog

from .icarus import need_icarus, text_of

CLOCK_PS = 10_000
COUNT = 200


@pytest.fixture(scope="module", params=["multiplier", "element"])
def activity(request):
    one = cell("truncated8s_k4")
    text, top = (
        (multiplier_verilog(one), MULTIPLIER) if request.param == "multiplier" else (element_verilog(one, 20), ELEMENT)
    )
    netlist = MappedNetlist.build(synthesise(text, top, default_liberty(), clock_ps=CLOCK_PS), default_liberty())
    words = random_vectors(netlist, COUNT, seed=4)
    if "load" in words:
        words["load"][:] = 1
    return simulate(netlist, words)


@pytest.mark.parametrize("delays", Delays)
def test_saif_gives_back_every_transition_and_the_same_power(activity, delays, tmp_path):
    glitching = with_glitches(activity, delays)
    write_saif(glitching, tmp_path / "activity.saif", CLOCK_PS)
    read = read_saif(tmp_path / "activity.saif", activity.netlist, CLOCK_PS)
    assert read.coverage == 1
    assert np.allclose(read.density[2:], glitching.density[2:], rtol=1e-12)
    assert np.allclose(read.probability, glitching.probability, atol=1e-6)
    model = PowerModel(activity.netlist, clock_ps=CLOCK_PS, rule=Rule.INDEPENDENT)
    assert model.report(read).total.total_fj == pytest.approx(model.report(glitching).total.total_fj, rel=1e-6)


def test_pins_alone_cover_all_nets_but_unread_inputs(activity, tmp_path):
    file = tmp_path / "activity.saif"
    write_saif(activity, file, CLOCK_PS)
    head, _, instances = re.split(r"^\(NET$|^\)$", file.read_text(), maxsplit=2, flags=re.M)
    file.write_text(head + instances)
    read = read_saif(file, activity.netlist, CLOCK_PS, minimum=0.5)
    assert (read.density[read.covered] == activity.density[read.covered]).all() and read.coverage > 0.9


def test_joint_states_are_refused_without_waveforms(activity, tmp_path):
    write_saif(activity, tmp_path / "activity.saif", CLOCK_PS)
    read = read_saif(tmp_path / "activity.saif", activity.netlist, CLOCK_PS)
    with pytest.raises(UserError, match="need waveforms"):
        PowerModel(activity.netlist, clock_ps=CLOCK_PS).report(read)


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda text: text[: len(text) // 2], "it ends too early"),
        (lambda text: text + ")", "closes that is not open"),
        (lambda text: "", "no SAIFILE group"),
        (lambda text: text.replace("(DURATION", "(LENGTH"), "a DURATION above 0"),
        (lambda text: text.replace("(DURATION ", "(DURATION 0 ", 1).replace("0 1990000", "0"), "a DURATION above 0"),
        (lambda text: text.replace("TC ", "TG "), "lacks one of T0, T1 and TC"),
        (lambda text: re.sub(r"\(g\d+|\(n\d+|\(\w+\\", "(other", text.replace("INSTANCE g", "INSTANCE h")),
         "of the nets of"),
    ],
)  # fmt: skip
def test_a_bad_saif_is_named_with_its_problem(activity, tmp_path, spoil, complaint):
    file = tmp_path / "activity.saif"
    write_saif(activity, file, CLOCK_PS)
    file.write_text(spoil(file.read_text()))
    with pytest.raises(UserError, match=complaint) as error:
        read_saif(file, activity.netlist, CLOCK_PS)
    assert "activity.saif" in str(error.value) and "\n" not in str(error.value)


def test_an_unknown_instance_is_named_with_those_that_exist(activity, tmp_path):
    write_saif(activity, tmp_path / "a.saif", CLOCK_PS)
    with pytest.raises(UserError, match=f"no instance 'dut' of 'dut'; there: {activity.netlist.top}"):
        read_saif(tmp_path / "a.saif", activity.netlist, CLOCK_PS, instance="dut")


def cell_models(netlist):
    """Library cells as Verilog modules, from their Liberty functions."""
    for one in {instance.cell.name: instance.cell for instance in (*netlist.gates, *netlist.flops)}.values():
        lines = [f"module {one.name} ({', '.join(one.pins)});"]
        lines += [f"  {pin.direction} {pin.name};" for pin in one.pins.values()]
        names = {name: name for name in one.pins}
        if one.flop:
            names |= {one.flop.state: "state", one.flop.inverse: "(~state)"}
            lines += ["  reg state = 0;", f"  always @(posedge {parse(one.flop.clocked_on).pins()[0]})",
                      f"    state <= {text_of(parse(one.flop.next_state), names)};"]  # fmt: skip
        lines += [f"  assign {pin.name} = {text_of(parse(pin.function), names)};" for pin in one.outputs]
        yield "\n".join([*lines, "endmodule", ""])


def dump(activity, folder):
    """VCD of Icarus for the netlist as written, instance ``dut`` of ``bench``, one vector a clock period."""
    need_icarus()
    netlist = activity.netlist
    verilog = netlist_verilog(netlist)
    inputs = {name: nets for name, (direction, nets) in netlist.ports.items() if direction == "input"}
    clocks = [name for name, nets in inputs.items() if set(nets) & netlist.clock_nets]
    words = {name: activity.values(name) for name in inputs if name not in clocks}
    high, low = ("clk = 1; ", "clk = 0; ") if clocks else ("", "")

    def cycle(step):  # inputs move with the flip-flops, which still see the old ones
        moves = "".join(f"{name} <= {int(values[step])}; " for name, values in words.items())
        return f"    {high}{moves}#{CLOCK_PS // 2} {low}#{CLOCK_PS // 2};\n"

    start = (
        f'    $dumpfile("dump.vcd"); $dumpvars(0, bench.dut); #{CLOCK_PS // 2};\n'  # half a cycle before the first step
    )
    settle = 3 * cycle(0) + cycle(0).removesuffix(f"#{CLOCK_PS // 2};\n") + "\n" + start
    steps = "".join(cycle(step) for step in range(1, activity.count))
    declared = "".join(f"  reg [{len(nets) - 1}:0] {name} = 0;\n" for name, nets in inputs.items())
    bench = (
        f"`timescale 1ps/1ps\nmodule bench;\n{declared}  {netlist.top} dut ("
        + ", ".join(f".{name}({name})" for name in inputs)
        + f");\n  initial begin\n{settle}{steps}"
        + "    $finish;\n  end\nendmodule\n"
    )
    (folder / "bench.v").write_text("".join(cell_models(netlist)) + verilog.text + bench)
    subprocess.run(["iverilog", "-g2005", "-o", "bench.vvp", "bench.v"], cwd=folder, check=True)
    subprocess.run(["vvp", "-n", "bench.vvp"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return folder / "dump.vcd"


def test_the_vcd_of_the_written_netlist_shows_our_transitions(activity, tmp_path):
    """Zero-delay cells in Icarus may glitch within a time step of the simulator, but a VCD shows settled values."""
    read = read_vcd(dump(activity, tmp_path), activity.netlist, "bench.dut", CLOCK_PS)
    assert read.coverage == 1
    plain = np.ones(activity.netlist.net_count, bool)
    plain[[0, 1, *activity.netlist.clock_nets]] = False
    assert (np.rint(read.density * (activity.cycles + 0.5)) == activity.toggles)[plain].all()
    for net in activity.netlist.clock_nets:
        assert read.density[net] == pytest.approx(2, rel=0.01) and read.probability[net] == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda text: text[: text.index("$enddefinitions") - 20], "not a whole VCD file|has no scope|shows no time"),
        (lambda text: "rubbish " + text, "not a whole VCD file"),
        (lambda text: text[: text.index("\n#")], "shows no time"),
    ],
)
def test_a_bad_vcd_is_named_with_its_problem(activity, tmp_path, spoil, complaint):
    file = dump(activity, tmp_path)
    file.write_text(spoil(file.read_text()))
    with pytest.raises(UserError, match=complaint) as error:
        read_vcd(file, activity.netlist, "bench.dut", CLOCK_PS)
    assert "dump.vcd" in str(error.value) and "\n" not in str(error.value)


def test_an_unknown_scope_and_too_little_coverage_are_errors(activity, tmp_path):
    file = dump(activity, tmp_path)
    with pytest.raises(UserError, match=r"no scope 'bench\.core'; there: bench, bench\.dut"):
        read_vcd(file, activity.netlist, "bench.core", CLOCK_PS)
    with pytest.raises(UserError, match="of the nets of"):
        read_vcd(file, activity.netlist, "bench", CLOCK_PS)
