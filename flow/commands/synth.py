"""``slipstick synth``: area, delay and power of cells in gates."""

from dataclasses import asdict
from typing import Annotated

import numpy as np
import typer

from slipstick.flow.cost.cost import CLOCK_MHZ, CostModel
from slipstick.flow.cost.figures import OF_MAC
from slipstick.flow.job.config import CELLS, chosen_cells
from slipstick.flow.job.console import Steps
from slipstick.flow.job.machine import AUTO, tile_of
from slipstick.flow.library.liberty import default_liberty, load_liberty
from slipstick.flow.power.delays import Delays
from slipstick.rtl.spec.cycles import Shape
from slipstick.rtl.spec.streams import TileStream

from .machine import Tile
from .options import ClockMhz, DelayModel, Json, Library, Rows, Seed, print_json, print_table

LAYER, COLUMNS = "synthetic", 16


def synthetic_stream(rows: int, columns: int, seed: int) -> TileStream:
    """Operands without a model: Laplace activations, normal weights, as trained layers look like."""
    rng = np.random.default_rng(seed)
    activations = np.clip(np.rint(rng.laplace(0, 16, (64, rows))), -128, 127).astype(np.int8)
    weights = np.clip(np.rint(rng.normal(0, 32, (rows, columns))), -127, 127).astype(np.int8)
    return TileStream(LAYER, activations, weights)


def run(
    cells: Annotated[str, typer.Argument(help="Comma-separated patterns of 8 x 8 cells.")] = CELLS,
    liberty: Library = None,
    clock_mhz: ClockMhz = CLOCK_MHZ,
    rows: Rows = 16,
    tile: Tile = AUTO,
    delays: DelayModel = "zero",
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Map cells in an array of 16 columns to a library: area, delay, energy a multiply-accumulate.

    Operands are synthetic here (Laplace activations, normal weights); `flow` uses a model's own.

    Example: slipstick synth 'exact8s,truncated8s_k?' --clock-mhz 200
    """
    chosen = chosen_cells(cells)
    library = default_liberty() if liberty is None else load_liberty(liberty)
    steps = Steps(quiet=json)
    with steps.step("synthesis and power"):
        bar = steps.bar("syntheses")
        model = CostModel.build(
            chosen, {LAYER: [synthetic_stream(rows, COLUMNS, seed + i) for i in range(4)]},
            {LAYER: Shape(64, 8 * rows, COLUMNS)}, liberty=library, clock_mhz=clock_mhz, rows=rows, columns=COLUMNS,
            tile=tile_of(tile, rows, COLUMNS), delays=Delays[delays.upper()],
            progress=lambda done, total, name: bar(done, total),
        )  # fmt: skip
    found = {}
    for one in chosen:
        cost, parts = model.cell_cost(one.name), model.mac_parts_fj(one.name, LAYER)
        found[one.name] = asdict(cost) | {
            "f_max_mhz": cost.f_max_mhz, "multiplier_fj": parts["multiplier"],
            "mac_fj": sum(parts[part] for part in OF_MAC), "inference_fj": sum(parts.values()),
        }  # fmt: skip
    if json:
        notes = {"notes": list(model.notes), "library_warnings": list(library.warnings)}
        print_json({"cells": found, "exact_baseline": model.baseline.chosen, **notes})
        return
    rows_ = [
        (name, f"{c['area_um2']:.0f}", f"{c['delay_ps']:.0f}", f"{c['f_max_mhz']:.0f}", f"{c['multiplier_fj']:.0f}",
         f"{c['mac_fj']:.0f}", f"{c['inference_fj']:.0f}")
        for name, c in found.items()
    ]  # fmt: skip
    headers = ("cell", "um2/MAC", "delay ps", "f_max MHz", "product fJ", "with adder fJ", "all fJ/MAC")
    print_table("; ".join(model.notes[:2]), headers, rows_)
