"""The cost model: levels nest, an inference adds up, savings are against the best exact cell."""

from dataclasses import replace

import pytest

from slipstick.errors import UnknownName, UserError
from slipstick.flow.cost.baseline import BASELINE, EXACT_CELLS
from slipstick.flow.cost.cost import CostModel
from slipstick.flow.cost.figures import LEVELS, OF_ARRAY, PARTS, whole
from slipstick.flow.cost.wires import NO_WIRES
from slipstick.flow.power.delays import Delays
from slipstick.rtl.cells import cell, cells
from slipstick.rtl.spec.cycles import Shape, passes

from .operands import tile

SIDE, TILE = 8, (4, 4)
NAMES = ("exact8s", "truncated_magnitude8s_k6_c2", "drum8s_k4")
LAYERS = ("quiet", "busy")
SIZE = {"rows": SIDE, "columns": SIDE}
STREAMS = {
    "quiet": [tile("quiet", 1, spread=2.0, **SIZE), tile("quiet", 2, spread=2.0, **SIZE)],
    "busy": [tile("busy", 3, spread=40.0, **SIZE)],
}
SHAPES = {"quiet": Shape(64, 32, 40), "busy": Shape(64, 24, 8, repeats=5)}


def build(names=(), streams=STREAMS, **options):
    settings = {"tile": TILE, **SIZE} | options
    return CostModel.build([cell(name) for name in names], streams, SHAPES, **settings)


@pytest.fixture(scope="module")
def model():
    return build(NAMES)


def test_the_baseline_is_the_best_exact_cell_that_meets_the_clock(model):
    found = {one.cell: one for one in model.baseline.candidates}
    assert set(found) == set(EXACT_CELLS)
    fast = [one for one in found.values() if one.delay_ps <= model.clock_ps]
    assert found[model.baseline.chosen].inference_fj == min(one.inference_fj for one in fast)
    for name in EXACT_CELLS:
        saving = model.inference_energy(dict.fromkeys(LAYERS, BASELINE)).saving
        assert max(map(abs, vars(saving).values())) < 1e-12
        assert model.inference_energy(dict.fromkeys(LAYERS, name)).saving.inference < 0.05


def test_levels_nest_and_busy_operands_cost_more(model):
    for name in (*NAMES, BASELINE):
        quiet, busy = (model.layer_figures(name, layer) for layer in LAYERS)
        levels = quiet.levels
        assert 0 < levels.multiplier < levels.mac < levels.array < levels.inference
        assert set(quiet.parts_nj) == set(PARTS) and all(value > 0 for value in quiet.parts_nj.values())
        assert levels.inference == pytest.approx(quiet.energy_nj) == pytest.approx(sum(quiet.parts_nj.values()))
        assert levels.array == pytest.approx(sum(quiet.parts_nj[part] for part in OF_ARRAY))
        assert quiet.levels.mac / quiet.macs < busy.levels.mac / busy.macs


def test_an_inference_adds_up_and_states_all_four_savings(model):
    result = model.inference_energy({"quiet": "truncated_magnitude8s_k6_c2", "busy": "truncated_magnitude8s_k6_c2"})
    for level in LEVELS:
        total = sum(getattr(layer, level) for layer in result.layers_nj.values())
        assert getattr(result.total_nj, level) == pytest.approx(total)
        saving = 1 - total / getattr(result.exact_total_nj, level)
        assert getattr(result.saving, level) == pytest.approx(saving) and saving > 0
    assert any("zero-delay" in note for note in result.notes) and any("memories" in note for note in result.notes)


def test_layers_without_an_assignment_run_on_the_baseline(model):
    assert model.inference_energy({}) == model.inference_energy(dict.fromkeys(LAYERS, BASELINE))


def test_cycles_and_macs_are_those_of_the_schedule(model):
    for layer, shape in SHAPES.items():
        figures, run = model.layer_figures("exact8s", layer), passes(model.config("exact8s"), shape)
        assert figures.cycles == run.cycles and figures.useful_macs == shape.macs
        rows, columns = -(-shape.depth // SIDE) * SIDE, -(-shape.channels // SIDE) * SIDE
        assert figures.macs == shape.rows * rows * columns * shape.repeats


def test_a_column_mix_lies_between_its_cells(model):
    mix = ["exact8s"] * 2 + ["truncated_magnitude8s_k6_c2"] * 6
    for figure in (lambda names: model.layer_figures(names, "busy").levels.mac, model.array_area_um2):
        assert figure("truncated_magnitude8s_k6_c2") < figure(mix) < figure("exact8s")
    share = model.layer_figures(mix, "busy").levels.multiplier
    ends = [model.layer_figures(name, "busy").levels.multiplier for name in ("exact8s", "truncated_magnitude8s_k6_c2")]
    assert share == pytest.approx(0.25 * ends[0] + 0.75 * ends[1])
    with pytest.raises(UserError, match="names 2 columns"):
        model.layer_figures(["exact8s"] * 2, "busy")


def test_the_second_build_is_identical(model):
    first, second = (one.inference_energy({"busy": "drum8s_k4"}) for one in (model, build(NAMES)))
    assert first == second


def test_what_cannot_be_built_is_refused(model):
    with pytest.raises(UserError, match="'exact8u' is unsigned; arrays take 'exact8u_on_magnitudes'|not signed"):
        CostModel.build(cells("exact8u"), STREAMS, SHAPES, tile=TILE, **SIZE)
    with pytest.raises(UserError, match="16 x 8, the array 8 x 8"):
        build(streams={"wide": tile("wide", 0, rows=16, columns=8)})
    with pytest.raises(UserError, match="no exact cell reaches 5000 MHz in tiles of 4 rows.*the fastest takes"):
        build(clock_mhz=5000)
    with pytest.raises(UserError, match="tiles of 3 rows do not divide 8"):
        build(tile=(3, 4))
    with pytest.raises(UserError, match="at least one layer"):
        build(streams={})
    with pytest.raises(UnknownName, match="drum8s_k4"):
        model.layer_figures("drum8s_k5", "busy")
    with pytest.raises(UnknownName, match="busy"):
        model.pass_energy("drum8s_k4", "bussy")


def test_wires_and_clock_tree_can_be_switched_off(model):
    bare = build(wires=NO_WIRES, clock_fanout=None)
    for layer in LAYERS:
        full, without = (one.layer_figures("exact8s", layer) for one in (model, bare))
        assert without.parts_nj["wires"] == without.parts_nj["clock tree"] == 0
        for name in set(PARTS) - {"wires", "clock tree", "broadcast"}:
            assert without.parts_nj[name] == full.parts_nj[name]
        assert without.parts_nj["broadcast"] <= full.parts_nj["broadcast"]


def test_figures_of_a_layer_follow_from_energy_and_cycles(model):
    one = model.layer_figures(BASELINE, "quiet")
    figures = one.as_json()
    assert figures["mw"] == pytest.approx(one.energy_nj / (one.cycles * 10e-3))  # nJ over us at 10 ns
    assert figures["pj_per_mac"] == pytest.approx(one.energy_nj * 1e3 / SHAPES["quiet"].macs)
    assert figures["tops_per_watt"] == pytest.approx(2 / figures["pj_per_mac"])  # operations a pJ
    assert figures["utilisation"] == pytest.approx(one.macs / (one.cycles * SIDE * SIDE))
    assert figures["utilisation"] <= 1
    together = whole({"a": one, "b": one}, SIDE * SIDE, period=one.cycles)
    assert together["energy_nj"] == pytest.approx(2 * one.energy_nj) and together["cycles"] == 2 * one.cycles
    assert together["mw"] == pytest.approx(2 * figures["mw"])


def test_glitches_cost_energy_at_every_level_and_are_kept_apart(model):
    """The baseline is judged under the same delays, and both models may be asked in turn."""
    some = {"quiet": STREAMS["quiet"]}
    zero, unit = (
        CostModel.build([cell("exact8s")], some, {"quiet": SHAPES["quiet"]}, tile=TILE, delays=one, **SIZE)
        for one in (Delays.ZERO, Delays.UNIT)
    )
    figures = [one.inference_energy({"quiet": "exact8s"}) for one in (zero, unit)]
    for level in LEVELS:
        assert getattr(figures[0].total_nj, level) < getattr(figures[1].total_nj, level)
        assert getattr(figures[0].exact_total_nj, level) < getattr(figures[1].exact_total_nj, level)
    assert zero.layer_figures("exact8s", "quiet") == model.layer_figures("exact8s", "quiet")
    assert any(Delays.UNIT.value in note for note in unit.notes) and not any(Delays.UNIT.value in x for x in zero.notes)


def test_narrow_arrays_pay_more_a_mac_for_what_all_columns_share(model):
    narrow = replace(model, columns=4)
    wide = model.layer_figures("exact8s", "quiet")
    one = narrow.layer_figures("exact8s", "quiet")
    assert one.parts_nj["activations"] / one.macs > 1.1 * wide.parts_nj["activations"] / wide.macs
    assert one.parts_nj["multiplier"] / one.macs == pytest.approx(wide.parts_nj["multiplier"] / wide.macs)


def test_rest_takes_little_and_work_takes_more(model):
    gates, tree = model.resting_cycle_fj("exact8s")
    assert 0 < gates + tree < 0.2 * model.pass_energy("exact8s", "quiet").total_fj
