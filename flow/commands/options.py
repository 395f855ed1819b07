"""Options that several commands share, and how they print."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

from slipstick.errors import UserError
from slipstick.limits import CLOCK_MHZ, COUNT, SEED, SIDE, Limits, whole_number
from slipstick.model.integer.config import IntegerConfig
from slipstick.model.training.config import FinetuneConfig
from slipstick.rtl.cells import cell
from slipstick.rtl.spec.array import ArrayConfig, CellMix


def number(limits: Limits, *names: str, help: str) -> Any:
    """An option of a number within ``limits``: another one is refused, by name, before the command starts."""
    return typer.Option(*names, help=help, callback=_checked(limits))


def _checked(limits: Limits) -> Callable[[typer.CallbackParam, Any], Any]:
    def check(param: typer.CallbackParam, value: Any) -> Any:
        if value is not None:
            limits.check(max(param.opts, key=len), value)
        return value

    return check


Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Seed = Annotated[int, number(SEED, help="Same seed, same result.")]
Model = Annotated[str, typer.Option(help="'vit-cifar10' (shipped) or any name of timm.create_model.")]
Weights = Annotated[
    str | None, typer.Option(help="A safetensors file, or 'pretrained': timm's weights from the hub, needs a network.")
]
ModelArgs = Annotated[
    str | None,
    typer.Option(help="Of timm.create_model, as img_size=64,depth=4 or JSON: size, patches, classes and so on."),
]
Calibration = Annotated[Path | None, typer.Option(help="Folder of calibration images, in class folders or not.")]
ImageFolder = Annotated[
    Path | None,
    typer.Option(
        "--images",
        help="Folder of class folders, named by the class's number, by names that the model knows (such as synsets), "
        "or as many as it has outputs, in alphabetical order; half of the images test, a quarter validates.",
    ),
]
TestImages = Annotated[int | None, number(COUNT, help="Test images that judge the result. [default: all]")]
Rows = Annotated[int, number(SIDE, help="Rows of the array: the reduction.")]
Columns = Annotated[int, number(SIDE, help="Columns of the array: output channels.")]
ClockMhz = Annotated[float, number(CLOCK_MHZ, help="Clock of every figure of time and power.")]
Library = Annotated[Path | None, typer.Option("--liberty", help="Liberty file; default: the shipped IHP SG13G2.")]
DelayModel = Annotated[
    Literal["zero", "unit", "nldm"],
    typer.Option("--delays", help="Delays of gates in simulation; glitches with unit and nldm."),
]
Integer = Annotated[
    bool, typer.Option("--integer", help="Integer-only: softmax, GELU, LayerNorm and the residual stream too.")
]
TRAINING = FinetuneConfig.limits
ENTRIES = IntegerConfig().entries
Entries = Annotated[
    int, number(IntegerConfig.limits["entries"], help="With --integer: segments of every piecewise linear function.")
]
Threads = Annotated[int, number(Limits(0, 4096), help="CPU threads; 0 lets torch choose.")]
TrainingSteps = Annotated[int, number(TRAINING["steps"], "--steps", help="Optimiser steps of the final training.")]
Batch = Annotated[int, number(TRAINING["batch"], help="Images a step.")]
Rate = Annotated[float, number(TRAINING["rate"], help="Highest learning rate.")]
Distillation = Annotated[float, number(TRAINING["distillation"], help="Weight of the float model's loss.")]
Features = Annotated[
    float,
    number(TRAINING["features"], help="Weight of the distance of encoders' outputs from the float model's."),
]
Every = Annotated[int, number(TRAINING["every"], help="Steps between saved states.")]
Limit = Annotated[int | None, number(COUNT, help="Use only so many training images.")]
Out = Annotated[Path, typer.Option(help="Weights: OUT.safetensors, what made them: OUT.json.")]
Mix = Annotated[str, typer.Option(help="Cells by column, such as 'exact8s:8,truncated8s_k6:8', or one cell.")]


def array_config(rows: int, columns: int, mix: str) -> ArrayConfig:
    """Read ``cell:count,cell:count`` (a single cell fills the array); UserError unless it adds up."""
    parts = [part.strip() for part in mix.split(",") if part.strip()]
    if not parts:
        raise UserError("the mix is empty; give for example --mix exact8s:8,truncated8s_k6:8")
    chosen = []
    for part in parts:
        name, colon, count = part.partition(":")
        alone = columns if len(parts) == 1 else 1
        number = whole_number(count, f"--mix {name}:<count>,", SIDE) if colon else alone
        chosen += [cell(name)] * number
    return ArrayConfig(rows, columns, CellMix.by_column(chosen, rows=rows, columns=columns))


def print_json(value: Any) -> None:
    """Print one JSON document to standard output."""
    typer.echo(json.dumps(value, indent=1))


def print_table(title: str, headers: Sequence[str], rows: Sequence[Sequence[str]], width: int = 110) -> None:
    """Print a table at least ``width`` wide; the first column is text, the others are figures."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for number, header in enumerate(headers):
        table.add_column(header, justify="left" if number == 0 else "right", no_wrap=number == 0)
    for row in rows:
        table.add_row(*row)
    console = Console()
    console.width = max(console.width, width)  # a pipe has no width of its own; figures must not wrap
    console.print(table)
