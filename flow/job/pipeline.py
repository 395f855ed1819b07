"""The main job: a trained ViT and real images in, a verified approximate accelerator and its report out."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from slipstick.errors import UserError
from slipstick.flow.cost.cost import CLOCK_MHZ, CostModel
from slipstick.flow.cost.figures import LEVELS, InferenceEnergy, LayerFigures, Levels
from slipstick.flow.cost.requantiser_words import requantiser_peripheral
from slipstick.flow.handoff.design import HandedDesign
from slipstick.flow.handoff.handoff import hand_off
from slipstick.flow.library.liberty import Liberty, default_liberty, load_liberty
from slipstick.flow.power.delays import Delays
from slipstick.flow.search.mcts import MctsConfig
from slipstick.flow.search.study import Point, SearchResult, search
from slipstick.model.convert import assign_
from slipstick.model.evaluate import top1
from slipstick.model.workload import record
from slipstick.model.zoo import SHIPPED, LoadedModel
from slipstick.rtl.accelerator import Accelerator
from slipstick.rtl.cells import cell, names
from slipstick.rtl.cells.cell import Cell
from slipstick.rtl.cells.wrapped import for_arrays
from slipstick.sim.verilator import find_verilator
from slipstick.store import digest, write_text

from .choose import EXACT, Confirmed, TileCosts, confirm, damage_matrix, palette, problem
from .console import Steps
from .hardware import Checked, check_mixed, check_tiles
from .tiles import Placement, place
from .workbench import Workbench, open_workbench

COSIMULATED_IMAGES = 2
DAMAGE_OF_LOSS = 4.0  # nats of predicted damage, at most, that a fraction of 1 of top-1 may be worth
CANDIDATES = 8  # cheapest assignments that are measured on every validation image
CELLS = "exact8s,truncated8s_k[12],truncated_magnitude8s_k*_c2,evolved8s_*"
"""About the front of array energy against the workload's weighted error (docs/cells.md)."""


@dataclass(frozen=True)
class FlowConfig:
    """Everything that decides the result of the main job. ``max_loss`` in points of top-1."""

    model: str = SHIPPED
    weights: str | None = None
    calibration: str | None = None
    images: str | None = None
    cells: str = CELLS
    rows: int = 16
    columns: int = 16
    clock_mhz: float = CLOCK_MHZ
    liberty: str | None = None
    delays: Literal["zero", "unit", "nldm"] = "zero"
    sampler: str = "mcts"
    trials: int = 150
    palette: int = 5
    search_images: int = 400
    max_loss: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rows < 1 or self.columns < 1:
            raise UserError(f"an array needs at least one row and one column, not {self.rows} x {self.columns}")
        if self.trials < 1 or self.palette < 2 or self.search_images < 1:
            raise UserError("the search needs at least one trial, two cells and one image")
        if self.palette > self.columns:
            raise UserError(f"{self.palette} cells do not fit into {self.columns} columns; lower --palette")

    @property
    def name(self) -> str:
        """Name of the run's folder: equal settings go on in the same one."""
        return f"{self.model.replace('/', '_')}-{digest(asdict(self))[:8]}"


@dataclass
class Mix:
    """What the search found: ``energy`` and ``damage`` are float [layers, cells] over all ``cells``.

    ``searched`` names the cells of the search; ``confirmed`` the assignments measured on every
    validation image.
    """

    bench: Workbench
    cells: list[Cell]
    model: CostModel
    energy: np.ndarray
    damage: np.ndarray
    searched: list[str]
    found: SearchResult
    chosen: Point
    confirmed: list[Confirmed]


@dataclass
class FlowResult:
    """All that the report shows; ``test`` are top-1 fractions on the test images."""

    config: FlowConfig
    mix: Mix
    placement: Placement
    inference: InferenceEnergy
    test: dict[str, float]
    checked: list[Checked]
    seconds: dict[str, float]


def chosen_cells(patterns: str) -> list[Cell]:
    """The 8 x 8 cells that comma-separated patterns name, the exact one first; unsigned ones between negations.

    Raises UnknownName for a pattern without a match, UserError for a cell of other widths.
    """
    found = dict.fromkeys(name for pattern in patterns.split(",") for name in names(pattern.strip()))
    cells = [cell(EXACT)] + [for_arrays(cell(name)) for name in found if name != EXACT]
    if len(cells) < 2:
        raise UserError("the search needs an approximate cell beside the exact one")
    return cells


def uniform_examples(mix: Mix) -> list[str]:
    """Three cells to show alone on every layer: the gentlest, a middle one, the cheapest of the searched."""
    totals = {one.name: mix.damage[:, i].sum() for i, one in enumerate(mix.cells) if one.name in mix.searched}
    order = sorted((name for name, damage in totals.items() if damage > 0), key=lambda name: totals[name])
    return list(dict.fromkeys(order[round(x * (len(order) - 1))] for x in (0, 0.5, 1)))


def find_mix(config: FlowConfig, out: Path, steps: Steps, loaded: LoadedModel | None = None) -> Mix:
    """Calibrate, characterise the cells, and search a cell for every layer; the study stays in ``out``.

    ``loaded`` replaces ``config.model`` by any module. Raises UserError for bad input before anything
    slow starts, and when ``out`` cannot be written.
    """
    cells = chosen_cells(config.cells)
    liberty = default_liberty() if config.liberty is None else load_liberty(Path(config.liberty))
    text = json.dumps(asdict(config), indent=1) + "\n"
    write_text(out / "config.json", text)
    with steps.step("model and calibration"):
        bench = open_workbench(
            model=loaded or config.model,
            weights=config.weights,
            calibration=_path(config.calibration),
            images=_path(config.images),
            seed=config.seed,
            progress=steps.bar,
        )
    with steps.step("cells: synthesis and power"):
        model, energy = _costs(config, bench, cells, liberty, steps)
    with steps.step("cells: predicted damage"):
        damage = damage_matrix(bench, cells, steps.bar("cells"))
    places = palette(cells, energy, damage, config.palette, DAMAGE_OF_LOSS * config.max_loss / 100)
    with steps.step("search"):
        offered = [cells[i] for i in places]
        posed = problem(bench, model, offered, energy[:, places], damage[:, places], config.search_images)
        bar = steps.bar(f"{config.sampler} trials")
        found = search(
            posed,
            trials=config.trials,
            sampler_name=config.sampler,
            seed=config.seed,
            storage=out / "study.journal",
            config=MctsConfig(interest=max(4 * config.max_loss / 100, 0.01)),
            progress=lambda done, total, accuracy, used: bar(done, total),
        )
        chosen, confirmed = confirm(bench, found, config.max_loss, CANDIDATES, steps.bar("confirmation"))
    return Mix(bench, cells, model, energy, damage, [one.name for one in offered], found, chosen, confirmed)


def run_flow(config: FlowConfig, out: Path, steps: Steps, loaded: LoadedModel | None = None) -> FlowResult:
    """Run every step into the folder ``out``; a second run finds the slow results in the cache.

    Raises what ``find_mix`` raises.
    """
    find_verilator()  # a missing tool is told before the search, not after it
    mix = find_mix(config, out, steps, loaded)
    bench, chosen, module = mix.bench, mix.chosen, mix.bench.loaded.module
    with steps.step("accuracy on test images"):
        test = {"fp32": bench.fp32, "int8": bench.int8}
        for name in uniform_examples(mix):
            assign_(module, {"default": name})
            test[name] = top1(bench.loaded, bench.test, progress=steps.bar(name))
        assign_(module, chosen.assignment)
        test["chosen"] = top1(bench.loaded, bench.test, progress=steps.bar("chosen mix"))
    with steps.step("Verilog and co-simulation"):
        images = bench.loaded.prepare(bench.test.pixels[:COSIMULATED_IMAGES])
        placement = place(chosen.assignment, bench.macs(config.rows, 1), rows=config.rows, columns=config.columns)
        folder, recordings = out / "rtl", record(module, images)
        checked = check_tiles(placement, recordings, folder, layers_each=4, seed=config.seed, say=steps.note)
        mixed = check_mixed(bench, chosen.assignment, placement.mixed, images, folder, seed=config.seed, say=steps.note)
        if config.liberty is None:  # the shipped library is a platform of OpenROAD-flow-scripts
            design = HandedDesign(Accelerator.module_name, "aclk", config.clock_mhz, "ihp-sg13g2")
            for one in (*checked, mixed):
                hand_off(design, one.file.read_text(), out / "handoff" / one.name)
    with steps.step("power of the accelerator"):
        inference = accelerator_energy(config, bench, placement, mix.model)
    return FlowResult(config, mix, placement, inference, test, [*checked, mixed], steps.seconds)


def _costs(
    config: FlowConfig, bench: Workbench, cells: list[Cell], liberty: Liberty, steps: Steps
) -> tuple[CostModel, np.ndarray]:
    bar = steps.bar("syntheses")
    model = CostModel.build(
        cells,
        bench.streams(config.rows, config.columns, config.seed),
        liberty=liberty,
        clock_mhz=config.clock_mhz,
        delays=Delays[config.delays.upper()],
        rows=config.rows,
        columns=config.columns,
        rows_per_tile={name: shape.rows for name, shape in bench.shapes.items()},
        requantiser=requantiser_peripheral(bench.recordings, config.rows, config.seed),
        progress=lambda done, total, name: bar(done, total),
    )
    return model, TileCosts.measure(model, bench, cells, [config.columns]).energy_nj[:, :, config.columns]


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


def _path(name: str | None) -> Path | None:
    return None if name is None else Path(name)
