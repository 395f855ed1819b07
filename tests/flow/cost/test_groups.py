"""Every gate of an element belongs to one part, and the parts' energies add up to the element's."""

import numpy as np
import pytest

from slipstick.flow.cost.cost import _elements
from slipstick.flow.cost.groups import ADDER, MULTIPLIER, REGISTERS, WEIGHT_LOADING, bit_group, plain
from slipstick.flow.cost.modules import constant_low_bits, used_bits
from slipstick.flow.library.liberty import default_liberty
from slipstick.flow.power.activity import simulate
from slipstick.rtl.cells import cell
from tests.flow.cost.operands import tile

NAMES = ("exact8s", "truncated8s_k6", "drum8s_k4")


@pytest.fixture(scope="module")
def elements():
    return _elements([cell(name) for name in NAMES], default_liberty(), 100.0, 16)


def random_words(count=2000):
    rng = np.random.default_rng(0)
    words = {"activation_in": 8, "weight_in": 8, "load": 1, "sum_in": 20}
    weights = np.repeat(rng.integers(0, 256, count // 20), 20)
    return {name: rng.integers(0, 1 << width, count) for name, width in words.items()}, {"weight_out": weights}


@pytest.mark.parametrize("name", NAMES)
def test_groups_cover_the_element_and_add_up_to_its_report(elements, name):
    element = elements[name]
    power = element.pe_power
    activity = simulate(power.netlist, *random_words(), settle=1)
    groups = power.report_groups(activity, element.groups)
    assert {plain(one) for one in groups} == {MULTIPLIER, ADDER, WEIGHT_LOADING, *REGISTERS}
    whole = power.report(activity).total
    for share in ("internal_fj", "switching_fj", "leakage_fj"):
        assert sum(getattr(one.total, share) for one in groups.values()) == pytest.approx(getattr(whole, share))
    assert sum(element.group_area_um2.values()) == pytest.approx(element.pe.area_um2)


def test_registers_have_the_flip_flops_and_their_clock_pins(elements):
    element = elements["exact8s"]
    flops = {"activation register": 8, "weight register": 8, "sum register": 16}
    assert element.flops == flops | {bit_group("sum register", bit): 1 for bit in range(16, 20)}
    power = element.pe_power
    groups = power.report_groups(simulate(power.netlist, *random_words(), settle=1), element.groups)
    for name, one in groups.items():
        assert (one.clock_pins.total_fj > 0) == (plain(name) in REGISTERS)


def test_only_the_parts_that_move_cost_dynamic_energy(elements):
    element = elements["exact8s"]
    (words, registers), power = random_words(), element.pe_power
    still = {name: np.full_like(values, 5) for name, values in registers.items()}
    frozen = words | {name: np.full_like(words[name], 5) for name in ("activation_in", "weight_in", "load")}
    frozen["load"] *= 0
    groups = power.report_groups(simulate(power.netlist, frozen, still, settle=2), element.groups)
    moving = {plain(name) for name, one in groups.items() if one.data.internal_fj + one.data.switching_fj > 1e-9}
    assert moving == {ADDER, "sum register"}


@pytest.mark.parametrize(("name", "bits"), [("exact8s", 0), ("truncated8s_k6", 6)])
def test_low_bits_that_no_operand_moves_are_found(name, bits):
    assert constant_low_bits(cell(name)) == bits


@pytest.mark.parametrize(("name", "masks"), [("exact8s", (0xFF, 0xFF)), ("evolved8s_b60_mae140", (0xFC, 0xFC))])
def test_operand_bits_that_no_product_depends_on_are_found(name, masks):
    assert used_bits(cell(name)) == masks


def test_edges_of_an_array_have_no_adder_and_no_activation_register(elements):
    present = elements["exact8s"].presence(4, 7 / 8)
    assert (present[ADDER], present["activation register"], present[MULTIPLIER]) == (3 / 4, 7 / 8, 1)
    assert [present[bit_group("sum register", bit)] for bit in range(16, 20)] == [3 / 4, 2 / 4, 1 / 4, 0]


def test_the_energy_of_an_element_has_weights_pass_as_activations(elements):
    energy = elements["exact8s"].energy([tile("x", 0)], samples=1024)
    assert energy.load.total_fj > energy.pe_fj > energy.idle.total_fj  # garbage is busier than a network's operands
    assert energy.parts_fj["weight loading"] < 0.001 * energy.pe_fj < energy.load_groups[WEIGHT_LOADING].total.total_fj
