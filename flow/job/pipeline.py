"""The main job: a trained ViT and real images in, a verified approximate accelerator and its report out."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from slipstick.flow.cost.baseline import BASELINE
from slipstick.flow.cost.cost import CostModel
from slipstick.flow.cost.figures import InferenceEnergy, LayerFigures
from slipstick.flow.handoff.design import HandedDesign
from slipstick.flow.handoff.handoff import hand_off
from slipstick.flow.power.delays import Delays
from slipstick.model.convert import assign_
from slipstick.model.evaluate import correct
from slipstick.model.workload import record
from slipstick.model.zoo import LoadedModel
from slipstick.sim.verilator import find_verilator

from .config import FlowConfig
from .console import Steps
from .hardware import Checked, check_mixed, check_tiles
from .mix import Mix, find_mix
from .tiles import Placement, place

COSIMULATED_IMAGES = 2


@dataclass
class FlowResult:
    """All that the report shows; ``zero_delay`` is the energy without glitches.

    ``right`` tells of every test image whether an arithmetic has it right: bool [N].
    """

    config: FlowConfig
    mix: Mix
    placement: Placement
    inference: InferenceEnergy
    zero_delay: InferenceEnergy
    right: dict[str, np.ndarray]
    checked: list[Checked]
    seconds: dict[str, float]


def uniform_examples(mix: Mix) -> list[str]:
    """Three cells to show alone on every layer: the gentlest, a middle one, the cheapest of the searched."""
    totals = {one.name: mix.damage[:, i].sum() for i, one in enumerate(mix.cells) if one.name in mix.searched}
    order = sorted((name for name, damage in totals.items() if damage > 0), key=lambda name: totals[name])
    return list(dict.fromkeys(order[round(x * (len(order) - 1))] for x in (0, 0.5, 1)))


def run_flow(config: FlowConfig, out: Path, steps: Steps, loaded: LoadedModel | None = None) -> FlowResult:
    """Run every step into the folder ``out``; a second run finds the slow results in the cache.

    Raises what ``find_mix`` raises.
    """
    find_verilator()  # a missing tool is told before the search, not after it
    mix = find_mix(config, out, steps, loaded, judge_test=True)
    bench, chosen, module = mix.bench, mix.chosen, mix.bench.loaded.module
    with steps.step("accuracy on test images"):
        right = dict(bench.right)
        for name in uniform_examples(mix):
            assign_(module, {"default": name})
            right[name] = correct(bench.loaded, bench.images.test, progress=steps.bar(name))
        assign_(module, chosen.assignment)
        right["chosen"] = correct(bench.loaded, bench.images.test, progress=steps.bar("chosen mix"))
    with steps.step("Verilog and co-simulation"):
        images = bench.loaded.prepare(bench.images.test.pixels[:COSIMULATED_IMAGES])
        placement = place(chosen.assignment, bench.macs(config.rows, 1), rows=config.rows, columns=config.columns)
        folder, recordings = out / "rtl", record(module, images)
        how: dict[str, Any] = {"seed": config.seed, "say": steps.note}
        checked = check_tiles(placement, mix.model, recordings, folder, layers_each=4, **how)
        mixed = check_mixed(bench, chosen.assignment, placement.mixed, mix.model, images, folder, **how)
        if config.liberty is None:  # the shipped library is a platform of OpenROAD-flow-scripts
            for one in (*checked, mixed):
                design = HandedDesign(one.file.stem, "aclk", config.clock_mhz, "ihp-sg13g2", one.config)
                hand_off(design, one.file.read_text(), out / "handoff" / one.name)
    with steps.step("power of the accelerator"):
        inference = accelerator_energy(placement, mix.model)
        zero_delay = accelerator_energy(placement, replace(mix.model, delays=Delays.ZERO))
    return FlowResult(config, mix, placement, inference, zero_delay, right, [*checked, mixed], steps.seconds)


def accelerator_energy(placement: Placement, model: CostModel) -> InferenceEnergy:
    """Energy of the tiles, each as wide as it was built, beside one exact R x C array.

    A narrow tile moves every activation past fewer columns, so its activations and control weigh more. Tiles
    work at the same time, on different images; at the level of the inference a tile that is done waits
    for the slowest, its clock running.
    """
    details: dict[str, LayerFigures] = {}
    narrow = {tile.name: replace(model, columns=tile.config.columns) for tile in placement.tiles}
    for tile in placement.tiles:
        details |= {layer: narrow[tile.name].layer_figures(tile.cell.name, layer) for layer in tile.layers}
    busy = {tile.name: sum(details[x].cycles for x in tile.layers) for tile in placement.tiles}
    for tile in placement.tiles:
        gates, tree = narrow[tile.name].resting_cycle_fj(tile.cell.name)
        for layer in tile.layers:  # its share of the tile's waiting
            share = 1e-6 * (max(busy.values()) / busy[tile.name] - 1) * details[layer].cycles
            parts = details[layer].parts_nj
            parts = parts | {"waiting": share * gates, "clock tree": parts["clock tree"] + share * tree}
            details[layer] = replace(details[layer], parts_nj=parts)
    exact = {layer: model.layer_figures(BASELINE, layer) for layer in model.shapes}
    return InferenceEnergy(model.notes, {layer: details[layer] for layer in exact}, exact, max(busy.values()))
