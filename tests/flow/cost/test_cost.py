import time

import numpy as np
import pytest

from slipstick.errors import UnknownName, UserError
from slipstick.flow.cost.baseline import BASELINE
from slipstick.flow.cost.cost import CostModel, cell_cost, energy_per_mac
from slipstick.flow.cost.figures import LEVELS, whole
from slipstick.flow.cost.samples import sample_elements
from slipstick.flow.cost.surroundings import pin_toggles, requantiser
from slipstick.flow.cost.wires import NO_WIRES
from slipstick.flow.power.activity import simulate
from slipstick.flow.power.delays import Delays
from slipstick.flow.power.power import PowerModel
from slipstick.rtl.cells import cell, cells

from .operands import tile

NAMES = ("exact8s", "truncated8s_k6", "drum8s_k4")
LAYERS = ("quiet", "busy")


STREAMS = {
    "quiet": [tile("quiet", 1, spread=2.0), tile("quiet", 2, spread=2.0)],
    "busy": [tile("busy", 3, spread=40.0)],
}


@pytest.fixture(scope="module")
def model():
    return CostModel.build([cell(name) for name in NAMES], STREAMS)


def test_the_baseline_is_the_best_of_all_exact_candidates(model):
    by_form = {one.form: one for one in model.baseline.candidates}
    chosen = by_form[model.baseline.chosen]
    assert len(by_form) >= 4 and chosen.meets_clock
    assert chosen.tile_fj == min(one.tile_fj for one in by_form.values() if one.meets_clock)
    default = by_form["yosys default"]
    assert chosen.pe_fj < 0.95 * default.pe_fj and chosen.cost.pe_area_um2 < default.cost.pe_area_um2


def test_levels_nest_and_busy_operands_cost_more(model):
    for name in (*NAMES, BASELINE):
        quiet, busy = (model.energy_per_mac(name, layer) for layer in LAYERS)
        assert 0 < quiet.multiplier_fj < quiet.pe_fj < model.array_energy(name, "quiet").total_fj
        assert quiet.multiplier_fj < busy.multiplier_fj and quiet.pe_fj < busy.pe_fj
        assert 0 < quiet.idle.total_fj < quiet.load.total_fj
        parts = quiet.parts_fj
        assert sum(parts.values()) == pytest.approx(quiet.pe_fj)
        assert parts["registers"] + parts["clock pins"] == pytest.approx(quiet.registers.total_fj)
        assert parts["multiplier"] == pytest.approx(quiet.multiplier_fj, rel=0.3)  # in place, and alone


def test_an_inference_adds_up_and_states_all_four_savings(model):
    macs = {"quiet": 1_000_000, "busy": 3_000_000}
    result = model.inference_energy({"quiet": "truncated8s_k6", "busy": "truncated8s_k6"}, macs)
    for level in LEVELS:
        total = sum(getattr(layer, level) for layer in result.layers_nj.values())
        assert getattr(result.total_nj, level) == pytest.approx(total)
        saving = 1 - total / getattr(result.exact_total_nj, level)
        assert getattr(result.saving, level) == pytest.approx(saving) and saving > 0
    assert result.total_nj.pe == pytest.approx(
        sum(count * model.energy_per_mac("truncated8s_k6", layer).pe_fj for layer, count in macs.items()) * 1e-6
    )
    assert any("zero-delay" in note for note in result.notes) and any("memories" in note for note in result.notes)


def test_no_exact_design_saves_anything_against_the_baseline(model):
    for name in ("exact8s", BASELINE):
        saving = model.inference_energy(dict.fromkeys(LAYERS, name), dict.fromkeys(LAYERS, 10**6)).saving
        assert max(vars(saving).values()) <= 1e-9


def test_layers_without_an_assignment_run_on_the_baseline(model):
    macs = dict.fromkeys(LAYERS, 10**6)
    assert (
        model.inference_energy({}, macs).total_nj
        == model.inference_energy(dict.fromkeys(LAYERS, BASELINE), macs).total_nj
    )


def test_a_column_mix_lies_between_its_cells(model):
    mix = ["exact8s"] * 4 + ["truncated8s_k6"] * 12
    for figure in (lambda names: model.array_energy(names, "busy").total_fj, model.array_area_um2):
        assert figure("truncated8s_k6") < figure(mix) < figure("exact8s")
    share = model.inference_energy({"busy": mix}, {"busy": 10**6}).total_nj.multiplier
    ends = [model.energy_per_mac(name, "busy").multiplier_fj for name in ("exact8s", "truncated8s_k6")]
    assert share == pytest.approx(0.25 * ends[0] + 0.75 * ends[1])
    with pytest.raises(UserError, match="names 2 columns"):
        model.array_energy(["exact8s"] * 2, "busy")


def test_longer_streams_dilute_weight_loading(model):
    longer = CostModel.build([], STREAMS, rows_per_tile={"busy": 1000})
    short, long = (one.array_energy(BASELINE, "busy") for one in (model, longer))
    assert long.load_fj == pytest.approx(short.load_fj * 64 / 1000)
    assert long.idle_fj == pytest.approx(short.idle_fj * 64 / 1000)
    assert long.elements_fj == short.elements_fj


def test_a_requantiser_counts_once_an_output():
    sums = np.random.default_rng(0).integers(-30_000, 30_000, 512)
    part = requantiser(sums, 20, multiplier=40_000, shift=24)
    with_it, without = (CostModel.build([], STREAMS, requantiser=one) for one in (part, None))
    macs = dict.fromkeys(LAYERS, 10**6)
    extra = with_it.inference_energy({}, macs, dict.fromkeys(LAYERS, 1000))
    assert extra.requantise_nj > 0
    assert extra.total_nj.array == pytest.approx(
        without.inference_energy({}, macs).total_nj.array + extra.requantise_nj
    )
    assert extra.total_nj.pe == without.inference_energy({}, macs).total_nj.pe


def test_stand_alone_functions_agree_with_the_model(model):
    assert cell_cost(cell("drum8s_k4")) == model.cell_cost("drum8s_k4")
    assert energy_per_mac(cell("drum8s_k4"), STREAMS["busy"]) == model.energy_per_mac("drum8s_k4", "busy")


def test_the_second_build_is_fast_and_identical(model):
    start = time.perf_counter()
    again = CostModel.build([cell(name) for name in NAMES], STREAMS)
    macs = dict.fromkeys(LAYERS, 10**6)
    first, second = (one.inference_energy({"busy": "drum8s_k4"}, macs) for one in (model, again))
    assert first == second
    assert time.perf_counter() - start < 5


def test_what_cannot_be_built_is_refused(model):
    with pytest.raises(UserError, match="'exact8u' is unsigned; arrays take 'exact8u_on_magnitudes'"):
        CostModel.build(cells("exact8u"), STREAMS)
    with pytest.raises(UserError, match="32 x 16, the array 16 x 16"):
        CostModel.build([], {"wide": tile("wide", 0, rows=32)})
    with pytest.raises(UserError, match="no exact element reaches 5000 MHz"):
        CostModel.build([], STREAMS, clock_mhz=5000)
    with pytest.raises(UserError, match="at least 3"):
        CostModel.build([], {"head": tile("head", 0, length=1)})
    with pytest.raises(UserError, match="at least one layer"):
        CostModel.build([], {})
    with pytest.raises(UnknownName, match="drum8s_k4"):
        model.energy_per_mac("drum8s_k5", "busy")
    with pytest.raises(UnknownName, match="busy"):
        model.energy_per_mac("drum8s_k4", "bussy")


def test_all_cells_see_the_same_elements():
    one, other = (sample_elements(STREAMS["quiet"], cell(name), 2048) for name in ("exact8s", "drum8s_k4"))
    assert (one.activation == other.activation).all() and (one.weight == other.weight).all()
    assert not np.array_equal(one.sum_in, other.sum_in)


def test_sampling_noise_is_small(model):
    element = model.element("exact8s")
    many, few = (element.energy(STREAMS["busy"], samples=count).pe_fj for count in (32768, 8192))
    assert few == pytest.approx(many, rel=0.01)


def test_an_inference_has_every_part_and_the_models_can_be_switched_off(model):
    macs, outputs = dict.fromkeys(LAYERS, 16 * 16 * 64 * 10), dict.fromkeys(LAYERS, 64 * 16 * 5)
    part = requantiser(np.random.default_rng(0).integers(-30_000, 30_000, 512), 20, multiplier=40_000, shift=24)
    full, bare = (
        CostModel.build([], STREAMS, requantiser=part, **setting).inference_energy({}, macs, outputs)
        for setting in ({}, {"wires": NO_WIRES, "clock_fanout": None})
    )
    for layer in LAYERS:
        everything, without = full.details[layer], bare.details[layer]
        assert everything.energy_nj == pytest.approx(full.layers_nj[layer].inference)
        assert all(energy > 0 for energy in everything.parts_nj.values())
        assert without.parts_nj["wires"] == without.parts_nj["clock_tree"] == 0
        for name in set(without.parts_nj) - {"wires", "clock_tree"}:
            assert without.parts_nj[name] == everything.parts_nj[name]
        assert full.layers_nj[layer].array == bare.layers_nj[layer].array < without.energy_nj < everything.energy_nj
        # Ten tiles of 16 + 64 + 32 cycles, and five drains of 64 rows with 17 + 3 cycles around them.
        assert everything.cycles == 10 * (16 + 64 + 32) + 5 * (64 + 20)


def test_figures_of_a_layer_follow_from_energy_and_cycles(model):
    macs, useful = {"busy": 16 * 16 * 64 * 10}, {"busy": 16 * 16 * 64 * 9}
    one = model.inference_energy({}, macs, None, useful).details["busy"]
    figures = one.as_json()
    assert figures["mw"] == pytest.approx(one.energy_nj / (one.cycles * 10e-3))  # nJ over us at 10 ns
    assert figures["pj_per_mac"] == pytest.approx(one.energy_nj * 1e3 / useful["busy"])
    assert figures["tops_per_watt"] == pytest.approx(2 / figures["pj_per_mac"])  # operations a pJ
    assert figures["utilisation"] == pytest.approx(useful["busy"] / (one.cycles * 256))
    together = whole({"a": one, "b": one}, 256, period=one.cycles)
    assert together["energy_nj"] == pytest.approx(2 * one.energy_nj) and together["cycles"] == 2 * one.cycles
    assert together["mw"] == pytest.approx(2 * figures["mw"])


def test_wires_are_the_switching_of_their_capacitance(model):
    """Beside the power model with the same capacitance on every pin: its switching, clock nets apart."""
    element = model.element("exact8s")
    netlist, ff = element.pe_power.netlist, model._wire_ff("exact8s")
    rng = np.random.default_rng(0)
    words = {name: rng.integers(0, 256, 500) for name in ("activation_in", "sum_in")}
    activity = simulate(netlist, words, {"weight_out": np.full(500, 3)}, settle=1)
    wired = PowerModel(netlist, clock_ps=model.clock_ps, wire_ff_per_fanout=ff).report(activity).total.switching_fj
    bare = element.pe_power.report(activity).total.switching_fj
    clock = sum(netlist.fanout[net] * 2.0 for net in netlist.clock_nets)
    half = 0.5 * model.liberty.voltage_v**2 * ff
    assert half * pin_toggles(activity) == pytest.approx(wired - bare - half * clock)


def test_glitches_cost_energy_at_every_level_and_are_kept_apart(model):
    """The baseline is judged under the same delays, and both models may be asked in turn."""
    some = {"quiet": STREAMS["quiet"]}
    zero, unit = (
        CostModel.build([cell("exact8s")], some, rows=16, columns=16, delays=one) for one in (Delays.ZERO, Delays.UNIT)
    )
    figures = [one.inference_energy({"quiet": "exact8s"}, {"quiet": 1_000_000}) for one in (zero, unit)]
    for level in LEVELS:
        assert getattr(figures[0].total_nj, level) < getattr(figures[1].total_nj, level)
        assert getattr(figures[0].exact_total_nj, level) < getattr(figures[1].exact_total_nj, level)
    assert zero.energy_per_mac("exact8s", "quiet") == model.energy_per_mac("exact8s", "quiet")
    assert any(Delays.UNIT.value in note for note in unit.notes) and not any(Delays.UNIT.value in x for x in zero.notes)
