"""From a model to the cheapest mix of cells whose loss is confirmed."""

import json
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import slipstick
from slipstick.errors import Notice
from slipstick.files import check_writable, write_text
from slipstick.flow.cost.cost import CostModel
from slipstick.flow.library.liberty import Liberty, default_liberty, load_liberty
from slipstick.flow.power.delays import Delays
from slipstick.flow.search.journal import open_journal
from slipstick.flow.search.mcts import MctsConfig
from slipstick.flow.search.study import Point, SearchResult, check_settings, search, study_name
from slipstick.flow.search.sweep import swept_front
from slipstick.model.data import Images
from slipstick.model.zoo import LoadedModel, load_model
from slipstick.rtl.cells.cell import Cell

from .choose import TileCosts, damage_matrix, palette, problem
from .config import FlowConfig, searched_cells
from .confirm import Confirmed, check_confirmable, confirm
from .console import Steps
from .hardware import common_depth
from .machine import AUTO, tile_of
from .workbench import ImageSets, Workbench, load_images, open_workbench, weights_digest

NATS_OF_LOSS = 4.0
"""Of divergence, at most, that a fraction of 1 of top-1 may be worth.

`python -m tests.bench.divergence` measures it: for a cell that loses 6 points 4.0 on 4,000 test images, 4.7 with an
error of a fifth on the validation images, 2.5 on those of the search, which were trained on; for one that loses 2
points 4.1 on the test images. Of gentler cells the loss is known too badly to tell.
"""
BY_CONTENT = ("weights", "calibration", "images", "liberty", "cells")
FREE = ("trials", "test_images", "sampler", "seed")
"""Settings that change no trial's worth, or, as sampler and seed do, have a study of their own."""
SWEPT_SHARE = 3  # one of so many trials at most goes to the front of the sweep


@dataclass
class Mix:
    """What the search found: ``energy`` and ``damage`` are float [layers, cells] over all ``cells``.

    ``searched`` names the cells of the search; ``images`` judged its trials; ``confirmed`` are the assignments
    measured on the validation images.
    """

    bench: Workbench
    cells: list[Cell]
    model: CostModel
    energy: np.ndarray
    damage: np.ndarray
    searched: list[str]
    images: Images
    found: SearchResult
    chosen: Point
    confirmed: list[Confirmed]


def find_mix(
    config: FlowConfig, out: Path, steps: Steps, loaded: LoadedModel | None = None, *, judge_test: bool = False
) -> Mix:
    """Calibrate, characterise the cells, and search a cell for every layer; the study stays in ``out``.

    ``loaded`` replaces ``config.model`` by any module; with ``judge_test`` the workbench knows float's and exact
    int8's answers to the test images. Raises UserError for bad input, for too few images, for a study of other
    settings in ``out``, and when that cannot be written, before anything slow starts.
    """
    cells = searched_cells(config.cells)
    liberty = default_liberty() if config.liberty is None else load_liberty(Path(config.liberty))
    check_writable(out / "config.json")
    loaded = loaded or load_model(config.model, config.weights, config.model_args)
    images = load_images(_path(config.calibration), _path(config.images), loaded, config.test_images)
    check_confirmable(len(images.validation), config.max_loss)
    judges = images.search.balanced(config.search_images)
    if len(judges) < config.search_images:
        line = f"{len(judges)} images judge the search: there are no --search-images {config.search_images}"
        warnings.warn(line, Notice, stacklevel=2)
    settings = search_settings(config, loaded, images, judges, liberty, cells)
    with open_journal(out / "study.journal") as storage:
        check_settings(storage, study_name(config.sampler, config.seed), settings)
        write_text(out / "config.json", json.dumps(asdict(config), indent=1) + "\n")
        with steps.step("model and calibration"):
            bench = open_workbench(
                loaded=loaded,
                images=images,
                judge_test=judge_test,
                quantisation=config.quantisation,
                seed=config.seed,
                progress=steps.bar,
            )
        with steps.step("cells: synthesis and power"):
            model, cells, energy = _costs(config, bench, cells, liberty, steps)
        with steps.step("cells: predicted damage"):
            damage = damage_matrix(bench, cells, steps.bar("cells"))
        allowed = NATS_OF_LOSS * config.max_loss / 100
        places = palette(cells, energy, damage, config.palette, allowed)
        with steps.step("search"):
            offered = [cells[i] for i in places]
            posed = problem(bench, model, offered, energy[:, places], damage[:, places], judges)
            found = search(
                posed,
                trials=config.trials,
                sampler_name=config.sampler,
                seed=config.seed,
                storage=storage,
                settings=settings,
                first=_spread(swept_front(posed, allowed), config.trials // SWEPT_SHARE),
                config=MctsConfig(interest=allowed),
                progress=steps.bar(f"{config.sampler} trials"),
            )
    with steps.step("confirmation"):
        chosen, confirmed = confirm(bench, found, config.max_loss, allowed, steps.bar("candidates"))
    return Mix(bench, cells, model, energy, damage, [c.name for c in offered], judges, found, chosen, confirmed)


def search_settings(
    config: FlowConfig, loaded: LoadedModel, images: ImageSets, judges: Images, liberty: Liberty, cells: list[Cell]
) -> dict[str, Any]:
    """All that decides what a trial is worth: files by their content, the rest as it was given."""
    given = {name: value for name, value in asdict(config).items() if name not in (*BY_CONTENT, *FREE)}
    return {
        "judge": "Kullback-Leibler divergence from exact int8, array energy",
        "version of Slipstick": slipstick.__version__,
        "weights": weights_digest(loaded),
        "calibration images": images.calibration.digest,
        "search images": judges.digest,
        "liberty": liberty.digest,
        "cell": {cell.name: cell.digest for cell in cells},
        **given,
    }


def _spread(choices: list[tuple[int, ...]], count: int) -> list[tuple[int, ...]]:
    """At most ``count`` of them, spread evenly."""
    places = np.linspace(0, len(choices) - 1, min(count, len(choices)))
    return [choices[i] for i in dict.fromkeys(places.round().astype(int).tolist())]


def _costs(
    config: FlowConfig, bench: Workbench, cells: list[Cell], liberty: Liberty, steps: Steps
) -> tuple[CostModel, list[Cell], np.ndarray]:
    """The cost model, the cells with the best exact one first, and the energy of every layer on each."""
    bar: Callable[[int, int], None] = steps.bar("syntheses")
    model = CostModel.build(
        cells,
        bench.streams(config.rows, config.columns, config.seed),
        bench.shapes,
        liberty=liberty,
        clock_mhz=config.clock_mhz,
        delays=Delays[config.delays.upper()],
        rows=config.rows,
        columns=config.columns,
        tile=None if config.tile == AUTO else tile_of(config.tile, config.rows, config.columns),
        depth=common_depth(bench.recordings, config.rows),
        progress=lambda done, total, name: bar(done, total),
    )
    exact = model.cell(model.baseline.chosen)
    every = [exact, *(one for one in cells[1:] if one.name != exact.name)]
    return model, every, TileCosts.measure(model, every, [config.columns]).energy_nj[:, :, config.columns]


def _path(name: str | None) -> Path | None:
    return None if name is None else Path(name)
