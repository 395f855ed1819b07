"""``slipstick search``: only the search, on a model's validation images."""

from pathlib import Path

import typer

from slipstick.flow.cost.cost import CLOCK_MHZ
from slipstick.flow.job.console import Steps
from slipstick.flow.job.pipeline import CELLS, FlowConfig, find_mix
from slipstick.model.zoo import SHIPPED

from .flow import Cells, ClockMhz, MaxLoss, Out, Palette, Sampler, SearchImages, Trials, _text
from .options import (
    Calibration,
    Checkpoint,
    Columns,
    ImageFolder,
    Json,
    Library,
    Model,
    Rows,
    Seed,
    print_json,
    print_table,
)  # fmt: skip


def run(
    model: Model = SHIPPED,
    checkpoint: Checkpoint = None,
    calibration: Calibration = None,
    images: ImageFolder = None,
    cells: Cells = CELLS,
    rows: Rows = 16,
    columns: Columns = 16,
    clock_mhz: ClockMhz = CLOCK_MHZ,
    liberty: Library = None,
    sampler: Sampler = "mcts",
    trials: Trials = 60,
    palette: Palette = 5,
    search_images: SearchImages = 400,
    max_loss: MaxLoss = 1.0,
    seed: Seed = 0,
    out: Out = None,
    json: Json = False,
) -> None:
    """Search a cell for every layer: top-1 on validation images against array-level energy.

    The study is an Optuna journal in the run's folder; stopped, it goes on there when called again.

    Example: slipstick search --sampler nsga2 --trials 200 --seed 3
    """
    config = FlowConfig(
        model=model, checkpoint=_text(checkpoint), calibration=_text(calibration), images=_text(images), cells=cells,
        rows=rows, columns=columns, clock_mhz=clock_mhz, liberty=_text(liberty), sampler=sampler, trials=trials,
        palette=palette, search_images=search_images, max_loss=max_loss, seed=seed,
    )  # fmt: skip
    folder = out or Path("out") / config.name
    mix = find_mix(config, folder, Steps(quiet=json))
    if json:
        print_json({
            "study": str(folder / "study.journal"),
            "cells": mix.searched,
            "trials": [[p.number, p.accuracy, p.energy_nj] for p in mix.found.points],
            "front": [p.number for p in mix.found.front],
            "chosen": {"number": mix.chosen.number, "accuracy": mix.chosen.accuracy,
                       "energy_nj": mix.chosen.energy_nj, "assignment": mix.chosen.assignment},
        })  # fmt: skip
        return
    rows_ = [(str(p.number), f"{100 * p.accuracy:.1f} %", f"{p.energy_nj:.1f}") for p in mix.found.front]
    print_table(f"front of {len(mix.found.points)} trials", ("trial", "top-1", "nJ an inference"), rows_)
    typer.echo(f"chosen: trial {mix.chosen.number}; study: {folder / 'study.journal'}")
