import time

import numpy as np
import pytest

from slipstick.errors import UnknownName, UserError
from slipstick.flow.cost.baseline import BASELINE
from slipstick.flow.cost.cost import CostModel, cell_cost, energy_per_mac
from slipstick.flow.cost.element import sample_elements
from slipstick.flow.cost.figures import LEVELS
from slipstick.flow.cost.surroundings import requantiser
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
    with pytest.raises(UserError, match="not signed 8 x 8"):
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
