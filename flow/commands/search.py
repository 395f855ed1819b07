"""``slipstick search``: only the search, on a model's validation images."""

from pathlib import Path

import typer

from slipstick.flow.job.config import FlowConfig
from slipstick.flow.job.console import Steps
from slipstick.flow.job.mix import find_mix

from .confirmation import print_confirmed
from .options import print_json, print_table
from .settings import takes_settings


@takes_settings
def run(config: FlowConfig, folder: Path, json: bool) -> None:
    """Search a cell for every layer: divergence from exact int8 against energy, the choice's loss confirmed.

    The study is an Optuna journal in the run's folder; stopped, it goes on there when called again.

    Example: slipstick search --sampler nsga2 --trials 200 --seed 3
    """
    mix = find_mix(config, folder, Steps(quiet=json))
    if json:
        print_json({
            "study": str(folder / "study.journal"),
            "cells": mix.searched,
            "trials": [[p.number, p.divergence, p.accuracy, p.energy_nj] for p in mix.found.points],
            "exact": mix.found.exact.number,
            "front": [p.number for p in mix.found.front],
            "chosen": {"number": mix.chosen.number, "divergence": mix.chosen.divergence,
                       "accuracy": mix.chosen.accuracy, "energy_nj": mix.chosen.energy_nj,
                       "assignment": mix.chosen.assignment},
            "confirmed": [one.as_json() for one in mix.confirmed],
        })  # fmt: skip
        return
    rows_ = [
        (str(p.number), f"{p.divergence:.5f}", f"{100 * p.accuracy:.1f} %", f"{p.energy_nj:.1f}")
        for p in mix.found.front
    ]
    headers = ("trial", "divergence, nats", "top-1", "nJ an inference")
    print_table(f"front of {len(mix.found.points)} trials, on {len(mix.images)} search images", headers, rows_)
    print_confirmed(mix.confirmed, config.max_loss, mix.chosen.number)
    typer.echo(f"study: {folder / 'study.journal'}")
