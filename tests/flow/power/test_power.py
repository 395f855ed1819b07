import numpy as np
import pytest

from slipstick.flow.library.boolean import parse
from slipstick.flow.library.liberty import default_liberty, parse_liberty
from slipstick.flow.power.activity import simulate
from slipstick.flow.power.cell_power import Rule
from slipstick.flow.power.gates import MappedNetlist
from slipstick.flow.power.power import PowerModel
from slipstick.flow.power.synth import Synthesis, synthesise
from slipstick.flow.power.timing import analyse
from tests.flow.power.designs import adder_verilog, register_verilog

CLOCK_PS = 1000.0


def build(liberty, cells, ports):
    netlist = {"ports": ports, "cells": cells, "nets": {name: bits for name, (_, bits) in ports.items()}}
    return MappedNetlist.build(Synthesis("top", 0.0, 0.0, None, {}, netlist, ""), liberty)


def inverter(liberty):
    ports = {"a": ["input", [2]], "y": ["output", [3]]}
    return build(liberty, {"i": ["INV", {"A": [2], "Y": [3]}]}, ports)


def nand(liberty):
    ports = {"a": ["input", [2]], "b": ["input", [3]], "y": ["output", [4]]}
    return build(liberty, {"g": ["NAND", {"A": [2], "B": [3], "Y": [4]}]}, ports)


def flop(liberty):
    ports = {"clk": ["input", [2]], "d": ["input", [3]], "q": ["output", [4]]}
    return build(liberty, {"r": ["DFF", {"CK": [2], "D": [3], "Q": [4]}]}, ports)


@pytest.fixture
def liberty(toy_text):
    return parse_liberty(toy_text())


def test_an_inverter_by_hand(liberty):
    netlist = inverter(liberty)
    model = PowerModel(netlist, clock_ps=CLOCK_PS, input_slew_ps=0.0, output_load_ff=10.0)
    report = model.report(simulate(netlist, {"a": np.arange(101) % 2}))  # density 1
    assert report.gates.internal_fj == pytest.approx(4)  # table at slew 0, load 10 fF
    assert report.gates.switching_fj == 0  # no pin hangs on y
    assert report.inputs.switching_fj == pytest.approx(0.5 * 3.0 * 2.0**2)
    assert report.gates.leakage_fj == pytest.approx(5 * CLOCK_PS * 1e-6)  # 5 nW
    assert model.timing.delay_ps == pytest.approx(200)


def test_energy_scales_with_density(liberty):
    netlist = inverter(liberty)
    model = PowerModel(netlist, clock_ps=CLOCK_PS)
    full = model.report(simulate(netlist, {"a": np.arange(401) % 2})).total
    half = model.report(simulate(netlist, {"a": np.arange(401) // 2 % 2})).total
    assert half.internal_fj == pytest.approx(full.internal_fj / 2)
    still = model.report(simulate(netlist, {"a": np.ones(400, int)})).total
    assert (still.internal_fj, still.switching_fj) == (0, 0) and still.leakage_fj == pytest.approx(full.leakage_fj)


def test_states_weight_leakage_and_hidden_energy(liberty):
    netlist = nand(liberty)
    model = PowerModel(netlist, clock_ps=CLOCK_PS, input_slew_ps=0.0, output_load_ff=0.0)
    # a = 0 always: the output rests, B toggles; the state !A & B holds half of the time.
    report = model.report(simulate(netlist, {"a": np.zeros(201, int), "b": np.arange(201) % 2}))
    assert report.gates.internal_fj == pytest.approx(0.5 * 2.0)  # P(when) * mean of 1 and 3 fJ
    assert report.gates.leakage_fj == pytest.approx((0.5 * 1 + 0.5 * 7) * CLOCK_PS * 1e-6)


@pytest.mark.parametrize("when", ["!A & B", "!A&B", "!A*B", "(A' B)", "B*!A"])
def test_every_spelling_of_when_gives_the_same_power(toy_text, when):
    rng = np.random.default_rng(0)
    words = {"a": rng.integers(0, 2, 500), "b": rng.integers(0, 2, 500)}
    totals = []
    for text in (toy_text(when=when), toy_text(when=when, swapped=True), toy_text(when=when, units="ff")):
        netlist = nand(parse_liberty(text))
        totals.append(PowerModel(netlist, clock_ps=CLOCK_PS).report(simulate(netlist, words)).total)
    reference = nand(parse_liberty(toy_text()))
    expected = PowerModel(reference, clock_ps=CLOCK_PS).report(simulate(reference, words)).total
    for total in totals:
        assert total == pytest.approx(expected)


def test_clock_energy_of_a_flop_whose_when_names_both_outputs(liberty):
    netlist = flop(liberty)
    words = {"d": np.random.default_rng(1).integers(0, 2, 4001)}
    reports = {
        rule: PowerModel(netlist, clock_ps=CLOCK_PS, rule=rule).report(simulate(netlist, words, settle=1))
        for rule in Rule
    }
    # The clock pin costs 10 fJ an edge while Q is 1: Q and !QN are one state, half of the time.
    assert reports[Rule.JOINT].registers.internal_fj == pytest.approx(10.0, rel=0.05)
    assert reports[Rule.JOINT].registers.switching_fj == pytest.approx(0.5 * 3.0 * 4.0 * 2)  # clock pin, no QN


def test_a_group_without_when_counts_in_the_states_that_its_siblings_leave(toy_text):
    netlist = flop(parse_liberty(toy_text(clock_default=True)))
    words = {"d": np.random.default_rng(1).integers(0, 2, 4001)}
    activity = simulate(netlist, words, settle=1)
    joint, free = (PowerModel(netlist, clock_ps=CLOCK_PS, rule=rule).report(activity).registers for rule in Rule)
    # Two edges a cycle: 10 fJ each while Q is 1, 30 fJ while it is 0; OpenSTA adds the 30 fJ to both.
    assert joint.internal_fj == pytest.approx(2 * (0.5 * 10 + 0.5 * 30), rel=0.05)
    assert free.internal_fj == pytest.approx(2 * (0.5 * 10 + 30), rel=0.05)


def test_independent_rule_multiplies_pins(liberty):
    netlist = nand(liberty)
    a = np.arange(400) // 2 % 2
    activity = simulate(netlist, {"a": a, "b": a})  # !A & B never holds, but independence says a quarter
    joint, free = (PowerModel(netlist, clock_ps=CLOCK_PS, rule=rule).report(activity).gates for rule in Rule)
    assert joint.leakage_fj == pytest.approx(7 * CLOCK_PS * 1e-6)
    assert free.leakage_fj == pytest.approx((0.25 * 1 + 0.75 * 7) * CLOCK_PS * 1e-6, rel=0.02)


def test_delays_add_along_a_path_with_propagated_slews(liberty):
    cells = {"i": ["INV", {"A": [2], "Y": [3]}], "j": ["INV", {"A": [3], "Y": [4]}]}
    netlist = build(liberty, cells, {"a": ["input", [2]], "y": ["output", [4]]})
    timing = analyse(netlist, input_slew_ps=0.0, output_load_ff=0.0)
    first = 100 + 0.3 * 100  # delay and slew at slew 0, load 3 fF
    assert timing.delay_ps == pytest.approx(first + 100 + 2 * first)  # delay(slew) = 100 + 2 slew


def slow_energy(netlist, model, activity):
    """The rules once more, an instance, an arc and a vector at a time; flip-flops' clocks at both levels."""
    bits = np.unpackbits(activity.planes.view(np.uint8), axis=1, bitorder="little")[:, : activity.count].astype(int)
    counted = np.unpackbits(activity.counted.view(np.uint8), bitorder="little")[: activity.count].astype(bool)
    internal = leakage_nw = 0.0
    for instance in (*netlist.gates, *netlist.flops):
        clock = instance.nets[instance.cell.flop.clocked_on.strip(" ()")] if instance.cell.flop else None

        def share(condition, instance=instance, clock=clock):
            holds = total = 0
            for level in (0, 1):
                values = {
                    pin: np.full(activity.count, level) if net == clock else bits[net]
                    for pin, net in instance.nets.items()
                }
                holds += int((condition(values) & counted).sum())
                total += int(counted.sum())
            return holds / total

        def expression(text, values):
            return parse(text).evaluate(values, np.ones(activity.count, int)).astype(bool)

        def counts(arc, pin, values):
            if arc.when:
                return expression(arc.when, values)
            taken = [
                expression(other.when, values)
                for other in pin.internal
                if other.when and other.related_pin == arc.related_pin and other.supply == arc.supply
            ]
            return ~np.any([np.zeros(activity.count, bool), *taken], axis=0)

        def table(arc, net, load, inverted=False):
            rise, fall = model.timing.slew_ps[net][::-1] if inverted else model.timing.slew_ps[net]
            return (arc.rise.at(rise, load) + arc.fall.at(fall, load)) / 2

        states = [(share(lambda v, w=when: expression(w, v)), value) for when, value in instance.cell.leakage_states]
        leakage_nw += sum(p * value for p, value in states)
        leakage_nw += (1 - sum(p for p, _ in states)) * instance.cell.leakage_nw
        for pin in instance.cell.inputs:
            net = instance.nets[pin.name]
            for arc in pin.internal:
                weight = share(lambda v, a=arc, p=pin: counts(a, p, v))
                internal += weight * table(arc, net, 0.0) * activity.density[net]
        for pin in instance.cell.outputs:
            net, found = instance.nets[pin.name], []
            for arc in pin.internal:
                related = instance.nets[arc.related_pin]
                follows = 1.0
                if clock is None:
                    follows = share(
                        lambda v, p=pin.function, r=arc.related_pin, a=arc, o=pin: (
                            counts(a, o, v)
                            & (expression(p, {**v, r: 0 * v[r]}) != expression(p, {**v, r: 0 * v[r] + 1}))
                        )
                    )
                senses = {t.sense for t in pin.timing if t.related_pin == arc.related_pin}
                energy = table(arc, related, model.timing.load_ff[net], senses == {"negative_unate"})
                found.append((follows * activity.density[related], energy))
            total = sum(weight for weight, _ in found)
            if total:
                internal += sum(weight * energy for weight, energy in found) / total * activity.density[net]
            elif found:
                internal += sum(energy for _, energy in found) / len(found) * activity.density[net]
    return internal, leakage_nw * model.clock_ps * 1e-6


@pytest.mark.parametrize("verilog", [adder_verilog(6, 9), register_verilog(3)])
def test_the_fast_model_agrees_with_a_slow_one_on_the_shipped_library(verilog):
    top = "accumulate" if "accumulate" in verilog else "delay_register"
    liberty = default_liberty()
    netlist = MappedNetlist.build(synthesise(verilog, top, liberty, clock_ps=10_000), liberty)
    rng = np.random.default_rng(0)
    names = [name for name, (kind, _) in netlist.ports.items() if kind == "input" and name != "clk"]
    activity = simulate(netlist, {name: rng.integers(-100, 100, 200) for name in names}, segments=4, settle=1)
    model = PowerModel(netlist, clock_ps=10_000)
    internal, leakage = slow_energy(netlist, model, activity)
    total = model.report(activity).total
    assert total.internal_fj == pytest.approx(internal, rel=1e-9)
    assert total.leakage_fj == pytest.approx(leakage, rel=1e-9)
    loads = 0.5 * 1.44 * netlist.load_ff * activity.density
    assert total.switching_fj == pytest.approx(loads[2:].sum() + loads[:2].sum(), rel=1e-9)
