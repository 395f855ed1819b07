"""``slipstick synth``: area, delay and power of cells in gates."""

from dataclasses import asdict
from typing import Annotated

import numpy as np
import typer

from slipstick.flow.cost.cost import CLOCK_MHZ, CostModel
from slipstick.flow.job.config import CELLS, chosen_cells
from slipstick.flow.job.console import Steps
from slipstick.flow.library.liberty import default_liberty, load_liberty
from slipstick.flow.power.delays import Delays
from slipstick.rtl.spec.streams import TileStream

from .options import ClockMhz, DelayModel, Json, Library, Rows, Seed, print_json, print_table


def synthetic_stream(rows: int, columns: int, seed: int) -> TileStream:
    """Operands without a model: Laplace activations, normal weights, as trained layers look like."""
    rng = np.random.default_rng(seed)
    activations = np.clip(np.rint(rng.laplace(0, 16, (64, rows))), -128, 127).astype(np.int8)
    weights = np.clip(np.rint(rng.normal(0, 32, (rows, columns))), -127, 127).astype(np.int8)
    return TileStream("synthetic", activations, weights)


def run(
    cells: Annotated[str, typer.Argument(help="Comma-separated patterns of 8 x 8 cells.")] = CELLS,
    liberty: Library = None,
    clock_mhz: ClockMhz = CLOCK_MHZ,
    rows: Rows = 16,
    delays: DelayModel = "zero",
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Map cells and their processing elements to a library: area, delay, energy a multiply-accumulate.

    Operands are synthetic here (Laplace activations, normal weights); `flow` uses a model's own.

    Example: slipstick synth 'exact8s,truncated8s_k?' --clock-mhz 200
    """
    chosen = chosen_cells(cells)
    library = default_liberty() if liberty is None else load_liberty(liberty)
    steps = Steps(quiet=json)
    with steps.step("synthesis and power"):
        bar = steps.bar("syntheses")
        model = CostModel.build(
            chosen, {"synthetic": [synthetic_stream(rows, 16, seed + i) for i in range(4)]}, liberty=library,
            clock_mhz=clock_mhz, rows=rows, delays=Delays[delays.upper()],
            progress=lambda done, total, name: bar(done, total),
        )  # fmt: skip
    found = {
        one.name: asdict(model.cell_cost(one.name))
        | {
            "f_max_mhz": model.cell_cost(one.name).f_max_mhz,
            "multiplier_fj": model.energy_per_mac(one.name, "synthetic").multiplier_fj,
            "pe_fj": model.energy_per_mac(one.name, "synthetic").pe_fj,
        }
        for one in chosen
    }
    if json:
        notes = {"notes": list(model.notes), "library_warnings": list(library.warnings)}
        print_json({"cells": found, "exact_baseline": model.baseline.chosen, **notes})
        return
    rows_ = [
        (name, f"{c['area_um2']:.0f}", f"{c['delay_ps']:.0f}", f"{c['multiplier_fj']:.0f}", f"{c['pe_area_um2']:.0f}",
         f"{c['f_max_mhz']:.0f}", f"{c['pe_fj']:.0f}")
        for name, c in found.items()
    ]  # fmt: skip
    headers = ("cell", "area um2", "delay ps", "fJ/MAC", "PE area um2", "PE f_max MHz", "PE fJ/MAC")
    print_table("; ".join(model.notes[:2]), headers, rows_)
