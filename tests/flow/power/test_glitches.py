import numpy as np
import pytest

from slipstick.errors import UserError
from slipstick.flow.cost.multiplier import multiplier_verilog
from slipstick.flow.library.liberty import default_liberty, parse_liberty
from slipstick.flow.power.activity import simulate
from slipstick.flow.power.delays import Delays, nldm_steps, unit_steps
from slipstick.flow.power.gates import MappedNetlist
from slipstick.flow.power.glitches import with_glitches
from slipstick.flow.power.synth import Synthesis, synthesise
from slipstick.flow.power.timing import analyse
from slipstick.rtl.cells.registry import cell
from tests.flow.power.designs import element_verilog

from .icarus import transitions


def mapped(name):
    synthesis = synthesise(multiplier_verilog(cell(name)), "multiplier", default_liberty(), clock_ps=10_000.0)
    return MappedNetlist.build(synthesis, default_liberty())


def steps_of(netlist, delays):
    if delays is Delays.ZERO:
        return dict.fromkeys(range(netlist.net_count), (0, 0))
    return unit_steps(netlist) if delays is Delays.UNIT else nldm_steps(netlist, analyse(netlist))


@pytest.mark.parametrize("delays", Delays)
@pytest.mark.parametrize("name", ["exact8s", "exact_booth8s", "truncated8s_k7", "truncated_magnitude8s_k5_c2"])
def test_every_net_changes_as_often_as_icarus_says(name, delays, tmp_path):
    netlist = mapped(name)
    a, w = np.random.default_rng(0).integers(-128, 128, (2, 260))
    settled = simulate(netlist, {"a": a, "w": w}, segments=4, settle=1)
    ours = with_glitches(settled, delays).toggles
    reference = transitions(netlist, steps_of(netlist, delays), settled, tmp_path, 2000)
    np.testing.assert_array_equal(ours[2:], reference[2:])


@pytest.mark.parametrize("delays", Delays)
def test_a_processing_element_with_its_flops_changes_as_often_as_icarus_says(delays, tmp_path):
    exact = cell("exact8s")
    verilog = element_verilog(exact, 20)
    netlist = MappedNetlist.build(synthesise(verilog, "pe", default_liberty(), clock_ps=10_000.0), default_liberty())
    rng = np.random.default_rng(0)
    words = {name: rng.integers(-128, 128, 200) for name in ("activation_in", "weight_in", "sum_in")}
    settled = simulate(netlist, words | {"load": np.ones(200, int)}, settle=4)
    ours = with_glitches(settled, delays).toggles
    reference = transitions(netlist, steps_of(netlist, delays), settled, tmp_path, 4000)
    compared = [net for net in range(2, netlist.net_count) if net not in netlist.clock_nets]
    np.testing.assert_array_equal(ours[compared], reference[compared])


def pulse(toy_text):
    """y = !(a & !a): only a glitch can move it."""
    cells = {"i": ["INV", {"A": [2], "Y": [3]}], "g": ["NAND", {"A": [2], "B": [3], "Y": [4]}]}
    ports = {"a": ["input", [2]], "y": ["output", [4]]}
    netlist = {"ports": ports, "cells": cells, "nets": {"a": [2], "y": [4]}}
    return MappedNetlist.build(Synthesis("top", 0.0, 0.0, None, {}, netlist, ""), parse_liberty(toy_text()))


def test_a_hazard_shows_under_unit_delay_only_on_the_edge_that_has_it(toy_text):
    netlist = pulse(toy_text)
    settled = simulate(netlist, {"a": np.arange(101) % 2})
    y = netlist.ports["y"][1][0]
    assert settled.toggles[y] == 0
    assert with_glitches(settled, Delays.UNIT).toggles[y] == 2 * 50  # a rises 50 times, a pulse each


def test_settled_states_are_kept_and_steps_that_do_not_count_add_nothing():
    netlist = mapped("truncated8s_k7")
    a, w = np.random.default_rng(1).integers(-128, 128, (2, 9 * 71))
    settled = simulate(netlist, {"a": a, "w": w}, segments=9, settle=3)
    glitchy = with_glitches(settled, Delays.NLDM)
    np.testing.assert_array_equal(glitchy.probability, settled.probability)
    assert (glitchy.toggles >= settled.toggles).all() and ((glitchy.toggles - settled.toggles) % 2 == 0).all()
    assert with_glitches(glitchy, Delays.ZERO).toggles.tolist() == settled.toggles.tolist()
    halves = [
        with_glitches(simulate(netlist, {"a": one, "w": other}, segments=part, settle=3), Delays.NLDM).toggles
        for one, other, part in ((a[: 4 * 71], w[: 4 * 71], 4), (a[4 * 71 :], w[4 * 71 :], 5))
    ]
    np.testing.assert_array_equal(glitchy.toggles, sum(halves))


def test_a_grid_that_is_not_positive_is_refused():
    netlist = mapped("truncated8s_k7")
    with pytest.raises(UserError, match="not positive"):
        nldm_steps(netlist, analyse(netlist), 0.0)
