import re

import numpy as np
import pytest

from slipstick.errors import UserError
from slipstick.flow.cost.modules import ELEMENT, MULTIPLIER, element_verilog, multiplier_verilog
from slipstick.flow.library.liberty import default_liberty, parse_liberty
from slipstick.flow.power.activity import simulate
from slipstick.flow.power.delays import Delays
from slipstick.flow.power.gates import MappedNetlist
from slipstick.flow.power.measure import measure_power, random_vectors
from slipstick.flow.power.power import PowerModel
from slipstick.flow.power.synth import SynthesisError, synthesise
from slipstick.rtl.cells.registry import cell
from slipstick.store import Store


@pytest.fixture(scope="module")
def multiplier():
    text = multiplier_verilog(cell("exact8s"))
    return synthesise(text, MULTIPLIER, default_liberty(), clock_ps=10_000)


@pytest.fixture(scope="module")
def vectors(multiplier):
    return random_vectors(MappedNetlist.build(multiplier, default_liberty()), 512, seed=3)


def measured(design, words, **options):
    return measure_power(design, default_liberty(), words, clock_mhz=100, **options)


def test_power_is_energy_a_cycle_times_the_clock(multiplier, vectors):
    netlist = MappedNetlist.build(multiplier, default_liberty())
    energy = PowerModel(netlist, clock_ps=10_000).report(simulate(netlist, vectors)).total
    figures = measured(multiplier, vectors)
    assert figures.power.total_uw == pytest.approx(energy.total_fj * 1e-15 * 100e6 * 1e6)
    assert figures.power.total_uw == pytest.approx(sum(one.total_uw for one in figures.parts.values()))
    assert figures.power.total_uw == pytest.approx(
        figures.power.internal_uw + figures.power.switching_uw + figures.power.leakage_uw
    )


def test_a_second_measurement_comes_from_the_store_and_differs_by_delay_model(multiplier, vectors, tmp_path):
    store = Store("power", tmp_path)
    first = measured(multiplier, vectors, store=store)
    assert measured(multiplier, vectors, store=store) == first
    glitching = measured(multiplier, vectors, store=store, delays=Delays.UNIT)
    assert glitching.cycle_fj > first.cycle_fj
    assert glitching.activity != first.activity


def test_an_element_has_registers_and_no_vectors_for_its_clock():
    design = synthesise(element_verilog(cell("exact8s"), 20), ELEMENT, default_liberty(), clock_ps=10_000)
    words = random_vectors(MappedNetlist.build(design, default_liberty()), 256, seed=1)
    assert set(words) == {"activation_in", "weight_in", "sum_in", "load"}
    words["load"][:] = 1
    figures = measured(design, words)
    assert figures.parts["registers"].total_uw > 0
    assert figures.coverage == 1 and not figures.warnings


def test_ports_without_vectors_warn_and_too_many_of_them_fail(multiplier, vectors):
    half = {"a": vectors["a"]}
    with pytest.raises(UserError, match="drive 50% of the input bits, less than 90%; missing: w"):
        measured(multiplier, half)
    assert measured(multiplier, half, minimum_coverage=0.5).warnings == (
        "vectors drive 50% of the input bits; the others stay 0",
    )


@pytest.mark.parametrize("bad", [np.zeros(0, np.int64), np.zeros(1, np.int64), np.zeros((2, 2), int), np.zeros(4)])
def test_vectors_that_are_none_are_refused(multiplier, vectors, bad):
    with pytest.raises(UserError, match="vectors of 'a' are"):
        measured(multiplier, {**vectors, "a": bad})


@pytest.mark.parametrize("bad", [[0, 256], [-129, 0]])
def test_words_that_do_not_fit_their_port_are_refused_not_cut(multiplier, vectors, bad):
    with pytest.raises(UserError, match=r"vectors of 'a' reach from .* the port has 8 bits"):
        measured(multiplier, {"a": np.array(bad), "w": np.zeros(2, int)})


def test_words_of_unequal_length_are_refused(multiplier, vectors):
    with pytest.raises(UserError, match="vectors of one length"):
        measured(multiplier, {**vectors, "a": vectors["a"][:-1]})


def test_an_unknown_port_is_named_with_those_that_exist(multiplier, vectors):
    with pytest.raises(UserError, match="no input port is called 'b'; inputs: a, w"):
        measured(multiplier, {**vectors, "b": vectors["a"]})


def test_a_clock_that_is_too_fast_is_warned_of(multiplier, vectors):
    figures = measure_power(multiplier, default_liberty(), vectors, clock_mhz=1000)
    assert any("longest path" in warning for warning in figures.warnings)


def test_cells_without_tables_are_warned_of(multiplier, vectors):
    bare = re.sub(r"internal_power \(.*?\) \{", "ignored () {", default_liberty().text)
    liberty = parse_liberty(bare)
    figures = measure_power(multiplier, liberty, vectors, clock_mhz=100)
    assert figures.power.internal_uw == 0
    (warning,) = figures.warnings
    assert "has no internal energy for sg13g2_" in warning


def test_gates_that_the_library_lacks_are_named():
    register = "module top(input clk, input d, output reg q); always @(posedge clk) q <= d; endmodule"
    gates_only = re.sub(r"(ff|cell) \((\"?sg13g2_dfrbp_\d\"?)\)", r"ignored (\2)", default_liberty().text)
    liberty = parse_liberty(gates_only)
    assert not any(one.flop for one in liberty.cells.values())
    with pytest.raises((UserError, SynthesisError), match="no flip-flop to map .top. to"):
        MappedNetlist.build(synthesise(register, "top", liberty, clock_ps=10_000), liberty)


def test_a_library_without_gates_is_said_before_mapping(toy_text):
    only_buffers = re.sub(r"cell \((NAND|\"INV\")\)", r"ignored (\1)", toy_text())
    with pytest.raises(UserError, match="library toy lacks an inverter or a gate of two inputs"):
        synthesise(multiplier_verilog(cell("exact8s")), MULTIPLIER, parse_liberty(only_buffers), clock_ps=10_000)


def test_a_design_of_wires_takes_no_power_but_its_inputs():
    design = synthesise(
        "module top(input a, output y); assign y = a; endmodule", "top", default_liberty(), clock_ps=10_000
    )
    figures = measured(design, {"a": np.arange(16) % 2})
    assert design.area_um2 == 0 and figures.power.total_uw == 0 and figures.f_max_mhz == float("inf")
