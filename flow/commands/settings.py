"""The settings of the main job as options, once, for the commands that take them all."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from slipstick.flow.job.config import FlowConfig
from slipstick.limits import LOSS
from slipstick.model.layers.config import QuantConfig

from .machine import Tile
from .options import (
    Calibration,
    ClockMhz,
    Columns,
    DelayModel,
    ImageFolder,
    Json,
    Library,
    Model,
    ModelArgs,
    Rows,
    Seed,
    TestImages,
    Weights,
    number,
)
from .quantisation import as_command, takes_quantisation

DEFAULT = FlowConfig()


def _options(
    model: Model = DEFAULT.model,
    weights: Weights = None,
    model_args: ModelArgs = None,
    calibration: Calibration = None,
    images: ImageFolder = None,
    cells: Annotated[str, typer.Option(help="Comma-separated patterns of cells to characterise.")] = DEFAULT.cells,
    rows: Rows = DEFAULT.rows,
    columns: Columns = DEFAULT.columns,
    tile: Tile = DEFAULT.tile,
    clock_mhz: ClockMhz = DEFAULT.clock_mhz,
    liberty: Library = None,
    delays: DelayModel = DEFAULT.delays,
    sampler: Annotated[str, typer.Option(help="mcts, random, nsga2 or tpe.")] = DEFAULT.sampler,
    trials: Annotated[int, number(DEFAULT.limits["trials"], help="Assignments to evaluate.")] = DEFAULT.trials,
    palette: Annotated[
        int, number(DEFAULT.limits["palette"], help="Cells the search may use, with the exact one.")
    ] = DEFAULT.palette,
    search_images: Annotated[
        int, number(DEFAULT.limits["search_images"], help="Images that judge a trial; their labels do not count.")
    ] = DEFAULT.search_images,
    max_loss: Annotated[
        float,
        number(LOSS, help="Points of top-1 that may be lost against exact int8, confirmed at 95 % on other images."),
    ] = DEFAULT.max_loss,
    test_images: TestImages = None,
    quantisation: QuantConfig = DEFAULT.quantisation,
    seed: Seed = DEFAULT.seed,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; default: out/<model>-<settings>.")] = None,
    json: Json = False,
) -> None:
    raise AssertionError("only its signature is used")


def takes_settings(action: Callable[[FlowConfig, Path, bool], None]) -> Callable[..., None]:
    """A command with every setting of FlowConfig as an option; ``action`` gets them, the folder, and --json."""

    def run(**given: Any) -> None:
        json, out = given.pop("json"), given.pop("out")
        quantisation = given.pop("quantisation")
        plain: dict[str, Any] = {n: str(value) if isinstance(value, Path) else value for n, value in given.items()}
        config = FlowConfig(**plain, quantisation=quantisation)
        action(config, out or Path("out") / config.name, json)

    return takes_quantisation(as_command(run, inspect.signature(_options), _options.__annotations__, action.__doc__))
