import numpy as np
import pytest

from slipstick.errors import UserError
from slipstick.flow.library.liberty import parse_liberty
from slipstick.flow.power.activity import simulate
from slipstick.flow.power.gates import MappedNetlist, pack, pack_bits, unpack, unpack_bits
from slipstick.flow.power.synth import Synthesis


def mapped(cells, ports, nets=None):
    netlist = {"ports": ports, "cells": cells, "nets": nets or {name: bits for name, (_, bits) in ports.items()}}
    return Synthesis("top", 0.0, 0.0, None, {}, netlist, "")


@pytest.fixture
def liberty(toy_text):
    return parse_liberty(toy_text())


@pytest.fixture
def tree(liberty):
    """y = !(a[0] a[1]), z = !y."""
    cells = {"g1": ["NAND", {"A": [2], "B": [3], "Y": [4]}], "g0": ["INV", {"A": [4], "Y": [5]}]}
    ports = {"a": ["input", [2, 3]], "y": ["output", [4]], "z": ["output", [5]]}
    return MappedNetlist.build(mapped(cells, ports), liberty)


@pytest.fixture
def pipeline(liberty):
    """Two registers in a row, the second shown inverted too."""
    cells = {
        "r1": ["DFF", {"CK": [2], "D": [3], "Q": [4]}],
        "r2": ["DFF", {"CK": [2], "D": [4], "Q": [5], "QN": [6]}],
    }
    ports = {"clk": ["input", [2]], "d": ["input", [3]], "q": ["output", [5]], "n": ["output", [6]]}
    return MappedNetlist.build(mapped(cells, ports), liberty)


@pytest.mark.parametrize("count", [1, 63, 64, 65, 1000])
def test_pack_and_unpack(count):
    values = np.random.default_rng(count).integers(-128, 128, count)
    assert (unpack(pack(values, 8), count, signed=True) == values).all()
    assert (unpack(pack(values, 8), count) == values & 0xFF).all()


@pytest.mark.parametrize(
    ("count", "segments", "settle"), [(64, 1, 0), (65, 1, 0), (130, 10, 0), (400, 8, 2), (4096, 128, 1)]
)
def test_toggles_and_probabilities_match_a_slow_count(tree, count, segments, settle):
    a = np.random.default_rng(1).integers(0, 4, count)
    activity = simulate(tree, {"a": a}, segments=segments, settle=settle)
    y = 1 - ((a & 1) & (a >> 1))
    length, toggles, ones, steps = count // segments, 0, 0, 0
    for t in range(1, count):
        if t % length > settle:
            toggles, ones, steps = toggles + int(y[t] != y[t - 1]), ones + int(y[t]), steps + 1
    net = tree.ports["y"][1][0]
    assert (activity.toggles[net], activity.cycles) == (toggles, steps)
    assert activity.probability[net] == pytest.approx(ones / steps)
    assert (activity.values("z") == 1 - y).all()


def test_registers_delay_by_one_and_the_clock_follows_its_rule(pipeline):
    d = np.random.default_rng(2).integers(0, 2, 100)
    activity = simulate(pipeline, {"d": d}, settle=2)
    assert (activity.values("q")[2:] == d[:-2]).all()
    assert (activity.values("n") == 1 - activity.values("q")).all()
    clock = pipeline.ports["clk"][1][0]
    assert (activity.density[clock], activity.probability[clock]) == (2.0, 0.5)


def test_a_given_register_trace_is_kept_and_its_inverse_follows(pipeline):
    trace = np.random.default_rng(3).integers(0, 2, 100)
    activity = simulate(pipeline, {"d": np.zeros(100, int)}, {"q": trace})
    assert (activity.values("q") == trace).all() and (activity.values("n") == 1 - trace).all()


def test_state_that_feeds_back_is_simulated_cycle_by_cycle_or_follows_a_trace(liberty):
    cells = {"r": ["DFF", {"CK": [2], "D": [4], "Q": [3]}], "i": ["INV", {"A": [3], "Y": [4]}]}
    ports = {"clk": ["input", [2]], "q": ["output", [3]]}
    netlist = MappedNetlist.build(mapped(cells, ports), liberty)
    alone = simulate(netlist, {"clk": np.zeros(50, int)})
    assert alone.values("q").tolist() == [1, 0] * 25 and alone.density[netlist.ports["q"][1][0]] == 1.0
    toggling = simulate(netlist, {"clk": np.zeros(50, int)}, {"q": np.arange(50) % 2})
    assert toggling.density[netlist.ports["q"][1][0]] == 1.0
    two = {**cells, "r2": ["DFF", {"CK": [2], "D": [6], "Q": [5]}], "i2": ["INV", {"A": [5], "Y": [6]}]}
    netlist = MappedNetlist.build(mapped(two, {**ports, "p": ["output", [5]]}), liberty)
    with pytest.raises(UserError, match="give traces of all its registers, or of none"):
        simulate(netlist, {"clk": np.zeros(50, int)}, {"q": np.arange(50) % 2})


def test_wrong_words_are_refused(tree):
    with pytest.raises(UserError, match="no input 'b'; its inputs: a"):
        simulate(tree, {"b": np.zeros(9, int)})
    with pytest.raises(UserError, match="one length"):
        simulate(tree, {"a": np.zeros((3, 3), int)})
    with pytest.raises(UserError, match="do not divide"):
        simulate(tree, {"a": np.zeros(9, int)}, segments=2)


def test_a_loop_and_a_missing_driver_are_named(liberty):
    loop = {"i": ["INV", {"A": [3], "Y": [2]}], "j": ["INV", {"A": [2], "Y": [3]}]}
    with pytest.raises(UserError, match="loop"):
        MappedNetlist.build(mapped(loop, {"y": ["output", [2]]}), liberty)
    with pytest.raises(UserError, match="no driver"):
        MappedNetlist.build(mapped({"i": ["INV", {"A": [3], "Y": [2]}]}, {"y": ["output", [2]]}), liberty)


def test_a_register_that_could_hold_settles_whatever_the_number_of_vectors(liberty):
    """d passes where e is 1, by a multiplexer of NANDs before the register; e is 1 throughout."""
    cells = {
        "n": ["INV", {"A": [4], "Y": [5]}],
        "g1": ["NAND", {"A": [3], "B": [4], "Y": [6]}],
        "g2": ["NAND", {"A": [9], "B": [5], "Y": [7]}],
        "g3": ["NAND", {"A": [6], "B": [7], "Y": [8]}],
        "r": ["DFF", {"CK": [2], "D": [8], "Q": [9]}],
    }
    ports = {"clk": ["input", [2]], "d": ["input", [3]], "e": ["input", [4]], "q": ["output", [9]]}
    netlist = MappedNetlist.build(mapped(cells, ports), liberty)
    for count in (5, 64, 70):
        d = np.random.default_rng(count).integers(0, 2, count)
        activity = simulate(netlist, {"d": d, "e": np.ones(count, int)}, settle=1)
        assert (activity.values("q")[1:] == d[:-1]).all()


def test_bits_of_a_port_are_its_words(tree):
    words = np.arange(200) % 4
    bits = words[:, None] >> np.arange(2) & 1
    from_words, from_bits = (simulate(tree, {"a": one}) for one in (words, bits))
    assert np.array_equal(from_words.planes, from_bits.planes) and np.array_equal(from_bits.bits("a"), bits)
    with pytest.raises(UserError, match="not of 3 bits for a port of 2"):
        simulate(tree, {"a": np.zeros((200, 3), np.uint8)})


def test_ports_may_be_wider_than_a_machine_word():
    bits = np.random.default_rng(1).integers(0, 2, (70, 130))
    assert np.array_equal(unpack_bits(pack_bits(bits), 70), bits)
