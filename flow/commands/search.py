"""``slipstick search``: only the search, on a model's validation images."""

from pathlib import Path

import typer

from slipstick.flow.job.console import Steps
from slipstick.flow.job.pipeline import FlowConfig, find_mix

from .options import print_json, print_table
from .settings import takes_settings


@takes_settings
def run(config: FlowConfig, folder: Path, json: bool) -> None:
    """Search a cell for every layer: top-1 on validation images against array-level energy.

    The study is an Optuna journal in the run's folder; stopped, it goes on there when called again.

    Example: slipstick search --sampler nsga2 --trials 200 --seed 3
    """
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
