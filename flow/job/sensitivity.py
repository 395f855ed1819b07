"""The sensitivity sweep of a model as a job: images, calibration, trials, and their document."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from slipstick.errors import UserError
from slipstick.model.convert import approximate_
from slipstick.model.data import Images
from slipstick.model.evaluate import input_batches
from slipstick.model.layers.config import QuantConfig
from slipstick.model.sensitivity import Sweep
from slipstick.model.zoo import LoadedModel
from slipstick.rtl.cells.cell import Cell

from .console import Steps
from .manifest import manifest
from .workbench import load_images

SCHEMA = 1


def measure_sensitivity(
    loaded: LoadedModel,
    cells: Sequence[Cell],
    steps: Steps,
    *,
    calibration: Path | None,
    images: Path | None,
    count: int,
    tolerance: float,
    quantisation: QuantConfig,
    seed: int,
) -> dict[str, Any]:
    """Measure every layer on every cell; the result is the document of docs/sensitivity.md.

    On ``count`` images drawn by ``seed`` that do not test, since what it tells serves to choose cells. Raises
    UserError when there are fewer than ``count``.
    """
    sets = load_images(calibration, images, loaded)
    validation = sets.validation if images is None else sets.search + sets.validation
    if count > len(validation):
        raise UserError(f"--images-count {count}: there are only {len(validation)} validation images")
    chosen = np.random.default_rng(seed).permutation(len(validation))[:count]  # a folder's images come class by class
    some = Images(validation.pixels[chosen], validation.labels[chosen], validation.classes)
    with steps.step("calibration"):
        report = approximate_(loaded.module, {}, input_batches(loaded, sets.calibration), quantisation, seed)
    with steps.step("sensitivity"):
        sweep = Sweep(loaded, some)
        found = sweep.run(cells, tolerance, steps.bar(f"{len(sweep.order)} layers, {len(cells)} cells: images"))
    cost = found.cost
    return {
        "schema": SCHEMA,
        "model": loaded.name,
        "images": found.images,
        "tolerance": tolerance,
        "seed": seed,
        "quantisation": asdict(quantisation),
        "exact": {"loss": found.exact_loss, "accuracy": found.exact_accuracy},
        "layers": found.layers,
        "cells": found.cells,
        "trials": [asdict(trial) for trial in found.trials.values()],
        "rank_correlation": {figure: found.rank_correlation(figure) for figure in ("loss", "divergence")},
        "cost": asdict(cost)
        | {"evaluations": cost.evaluations, "whole_runs_seconds": cost.trials * cost.evaluation_seconds},
        "whole_runs": found.whole,
        "left_exact": report.left_exact,
        "manifest": manifest(seed=seed),
    }
