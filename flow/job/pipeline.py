"""The main job: a trained ViT and real images in, a verified approximate accelerator and its report out."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from slipstick.flow.cost.cost import CostModel
from slipstick.flow.cost.figures import LEVELS, InferenceEnergy, LayerFigures, Levels
from slipstick.flow.handoff.design import HandedDesign
from slipstick.flow.handoff.handoff import hand_off
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
from .workbench import Workbench

COSIMULATED_IMAGES = 2


@dataclass
class FlowResult:
    """All that the report shows; ``right`` tells of every test image whether an arithmetic has it right: bool [N]."""

    config: FlowConfig
    mix: Mix
    placement: Placement
    inference: InferenceEnergy
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
        checked = check_tiles(placement, config.tile, recordings, folder, layers_each=4, **how)
        mixed = check_mixed(bench, chosen.assignment, placement.mixed, config.tile, images, folder, **how)
        if config.liberty is None:  # the shipped library is a platform of OpenROAD-flow-scripts
            for one in (*checked, mixed):
                design = HandedDesign(one.file.stem, "aclk", config.clock_mhz, "ihp-sg13g2", one.config)
                hand_off(design, one.file.read_text(), out / "handoff" / one.name)
    with steps.step("power of the accelerator"):
        inference = accelerator_energy(config, bench, placement, mix.model)
    return FlowResult(config, mix, placement, inference, right, [*checked, mixed], steps.seconds)


def accelerator_energy(config: FlowConfig, bench: Workbench, placement: Placement, model: CostModel) -> InferenceEnergy:
    """Energy of the tiles, each as wide as it was built, beside one exact R x C array.

    A narrow tile moves every activation past fewer columns, so its skew and control weigh more. Tiles
    work at the same time, on different images; at the level of the inference a tile that is done waits
    for the slowest, its clock running.
    """
    layers: dict[str, Levels] = {}
    details: dict[str, LayerFigures] = {}
    requantise = 0.0
    outputs, useful = bench.outputs(), bench.macs(1, 1)
    resting: dict[str, tuple[float, float]] = {}
    for tile in placement.tiles:
        width = tile.config.columns
        macs = bench.macs(config.rows, width)
        narrow = replace(model, columns=width)
        own = narrow.inference_energy(
            dict.fromkeys(tile.layers, tile.cell.name), {x: macs[x] for x in tile.layers}, outputs, useful
        )
        layers |= own.layers_nj
        details |= own.details
        requantise += sum(own.requantise_nj * outputs[x] for x in tile.layers) / sum(outputs.values())
        resting[tile.name] = narrow.idle_cycle_fj(tile.cell.name, next(iter(bench.shapes)))
    busy = {tile.name: sum(details[x].cycles for x in tile.layers) for tile in placement.tiles}
    for tile in placement.tiles:
        for layer in tile.layers:  # its share of the tile's waiting
            share = 1e-6 * (max(busy.values()) / busy[tile.name] - 1) * details[layer].cycles
            gates, tree = resting[tile.name]
            parts = details[layer].parts_nj
            parts = parts | {"idle": parts["idle"] + share * gates, "clock_tree": parts["clock_tree"] + share * tree}
            details[layer] = replace(details[layer], parts_nj=parts)
            layers[layer] = replace(layers[layer], inference=details[layer].energy_nj)
    exact = model.inference_energy({}, bench.macs(config.rows, config.columns), outputs, useful)
    total = {level: sum(getattr(part, level) for part in layers.values()) for level in LEVELS}
    order = list(exact.layers_nj)
    return replace(
        exact,
        total_nj=Levels(**total | {"array": total["array"] + requantise}),
        layers_nj={layer: layers[layer] for layer in order},
        details={layer: details[layer] for layer in order},
        period_cycles=max(busy.values()),
    )
