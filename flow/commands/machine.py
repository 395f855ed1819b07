"""The accelerator as options, once, for every command that builds one: sizes, mix and tiles, or a file of them."""

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from slipstick.errors import UserError
from slipstick.flow.job.machine import AUTO, machine, tile_of
from slipstick.limits import SIDE, Limits
from slipstick.rtl.spec.beats import MAX_ROWS
from slipstick.rtl.spec.machine import AcceleratorConfig

from .options import array_config, number
from .quantisation import as_command

SIZE = 16
ACCUMULATOR_ROWS = Limits(2, MAX_ROWS)
DEPTH = Limits(1, 1 << 20)
Tile = Annotated[
    str, typer.Option(help="Products that one adder tree and one broadcast span, such as 4x16; 1x1 is a chain.")
]
AccumulatorRows = Annotated[int, number(ACCUMULATOR_ROWS, help="Rows of activations that accumulators hold.")]


def _options(
    rows: Annotated[int | None, number(SIDE, help=f"Rows of the array: the reduction. [default: {SIZE}]")] = None,
    columns: Annotated[
        int | None, number(SIDE, help=f"Columns of the array: output channels. [default: {SIZE}]")
    ] = None,
    mix: Annotated[
        str | None, typer.Option(help="Cells by column, such as 'exact8s:8,truncated8s_k6:8', or one cell.")
    ] = None,
    tile: Annotated[
        str | None,
        typer.Option(
            help=f"Products that one adder tree and one broadcast span, such as 4x16; 1x1 is a chain. [default: {AUTO}]"
        ),
    ] = None,
    accumulator_rows: Annotated[
        int | None,
        number(
            ACCUMULATOR_ROWS,
            help=f"Rows of activations that accumulators hold. [default: {AcceleratorConfig.accumulator_rows}]",
        ),
    ] = None,
    depth: Annotated[int | None, number(DEPTH, help="Tiles of the reduction that accumulators can sum.")] = None,
    config: Annotated[
        Path | None, typer.Option(help="JSON of an accelerator, as 'generate' writes it, in place of these options.")
    ] = None,
) -> None:
    raise AssertionError("only its signature is used")


OPTIONS = inspect.signature(_options).parameters


@dataclass(frozen=True)
class Machine:
    """The accelerator that a command was asked for; ``depth_given`` where the user chose how much it sums."""

    config: AcceleratorConfig
    depth_given: bool


def takes_machine(default_mix: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command whose parameter ``machine`` is a Machine, on the command line its options."""

    def decorate(action: Callable[..., None]) -> Callable[..., None]:
        def run(**given: Any) -> None:
            own = {name: given.pop(name) for name in OPTIONS}
            action(**given, machine=chosen(default_mix, **own))

        listed = list(inspect.signature(action).parameters.values())
        place = next(number for number, one in enumerate(listed) if one.name == "machine")
        signature = inspect.Signature([*listed[:place], *OPTIONS.values(), *listed[place + 1 :]])
        return as_command(run, signature, action.__annotations__ | _options.__annotations__, action.__doc__)

    return decorate


def chosen(default_mix: str, config: Path | None, **given: Any) -> Machine:
    """The machine of the options, or of the file; UserError for options that contradict the file."""
    if config is not None:
        return Machine(_agreeing(read_config(config), config, given), True)
    rows, columns = given["rows"] or SIZE, given["columns"] or SIZE
    array = array_config(rows, columns, given["mix"] or default_mix)
    sizes = {name: given[name] for name in ("accumulator_rows", "depth") if given[name] is not None}
    return Machine(machine(array, given["tile"] or AUTO, **sizes), given["depth"] is not None)


def read_config(path: Path) -> AcceleratorConfig:
    """The accelerator that a file describes; UserError names the file."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    if not isinstance(found, dict):
        raise UserError(f"{path}: not a JSON object, but {type(found).__name__}")
    try:
        return AcceleratorConfig.from_json(found)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _agreeing(config: AcceleratorConfig, path: Path, given: dict[str, Any]) -> AcceleratorConfig:
    """``config``, unless an option says something else."""
    array = config.array
    tile = config.tile_rows, config.tile_columns
    own: dict[str, Any] = {
        "rows": array.rows, "columns": array.columns, "accumulator_rows": config.accumulator_rows,
        "depth": config.depth, "tile": f"{tile[0]}x{tile[1]}",
    }  # fmt: skip
    for name, value in own.items():
        wanted = given[name]
        if name == "tile" and wanted is not None:
            wanted = value if wanted == AUTO else "{}x{}".format(*tile_of(wanted, array.rows, array.columns))
        if wanted not in (None, value):
            option = f"--{name.replace('_', '-')}"
            raise UserError(f"{option} {given[name]} contradicts --config {path}, where it is {value}; drop one")
    if given["mix"] is not None and array_config(array.rows, array.columns, given["mix"]) != array:
        raise UserError(f"--mix {given['mix']} contradicts --config {path}, where it is {array.describe()}; drop one")
    return config
