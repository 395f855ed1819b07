"""``slipstick cells``: every figure of the cells, side by side."""

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from slipstick.files import check_writable, write_text
from slipstick.flow.characterise.document import document, errors_document
from slipstick.flow.characterise.operands import load_operands
from slipstick.flow.characterise.table import WORKERS, characterise
from slipstick.flow.cost.cost import CLOCK_MHZ
from slipstick.flow.cost.figures import LEVELS
from slipstick.flow.job.console import Steps, Update
from slipstick.flow.library.liberty import load_liberty
from slipstick.flow.report.cells_page import render_cells
from slipstick.limits import Limits
from slipstick.rtl import cells as registry
from slipstick.rtl.cells import Cell

from .options import ClockMhz, Json, Library, number, print_json, print_table


def run(
    pattern: Annotated[str, typer.Argument(help="Shell pattern of names.", show_default="signed 8 x 8")] = "",
    errors_only: Annotated[bool, typer.Option("--errors-only", help="Errors over all operand pairs alone.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Write a page: energy against error.")] = None,
    workload: Annotated[
        Path | None, typer.Option(help="Operands recorded elsewhere (.npz); default: of the shipped ViT.")
    ] = None,
    liberty: Library = None,
    clock_mhz: ClockMhz = CLOCK_MHZ,
    workers: Annotated[int, number(Limits(1, 4096), help="Processes.")] = WORKERS,
    json: Json = False,
) -> None:
    """List cells (the default command): errors, alike and by workload, exact rank, area, delay, energy, savings, front.

    What is not in the cache yet is synthesised and simulated first, a second or two a cell; a stopped run goes on
    where it was. Arrays take signed 8 x 8 cells, so only these have savings with adder, at array and inference level.

    Example: slipstick cells 'truncated8s_*' --plot cells.html
    """
    if plot:
        check_writable(plot)
    found = _find(pattern)
    if errors_only:
        _show_errors(found, json)
        return
    steps = Steps(quiet=json)
    with steps.step("characterisation"):
        table = characterise(
            found, liberty=load_liberty(liberty) if liberty else None, clock_mhz=clock_mhz,
            operands=load_operands(workload) if workload else None, workers=workers,
            progress=_counted(steps.bar("cells")), exact_progress=_counted(steps.bar("exact designs")),
        )  # fmt: skip
    figures = document(table)
    if plot:
        write_text(plot, render_cells(figures))
    if json:
        print_json(figures)
        return
    print_table(f"{len(found)} cells", HEADERS, [_line(one) for one in figures["cells"]], width=158)
    for note in figures["notes"]:
        typer.echo(note)
    if plot:
        typer.echo(f"page: {plot}")


HEADERS = (
    "cell", "MAE", "WCE", "EP %", "bias", "weighted MAE", "bias", "rank", "um2", "ps", "fJ",
    "saved %: multiplier / with adder / array / inference", "front",
)  # fmt: skip


def _counted(update: Update) -> Callable[[int, int, str], None]:
    return lambda done, total, name: update(done, total)


def _find(pattern: str) -> list[Cell]:
    with warnings.catch_warnings(record=True) as damaged:
        warnings.simplefilter("always")
        found = registry.cells(pattern or "*8s*")
    for warning in damaged:
        print(f"slipstick: {warning.message}", file=sys.stderr)
    return found if pattern else [one for one in found if one.signed and one.widths == (8, 8)]


def _line(cell: dict[str, Any]) -> tuple[str, ...]:
    errors, weighted, front = cell["errors"], cell["weighted_errors"], cell["pareto"]
    worst = f"{'>= ' if 'sample' in errors else ''}{errors['wce']}"
    saved = (cell["saving"][level] for level in LEVELS)
    return (
        cell["name"], f"{errors['mae']:.2f}", worst, f"{100 * errors['ep']:.1f}", f"{errors['bias']:.2f}",
        f"{weighted['mae']:.2f}", f"{weighted['bias']:.2f}", str(cell["rank"] or "-"), f"{cell['area_um2']:.0f}",
        f"{cell['delay_ps']:.0f}", f"{cell['energy_fj']:.0f}",
        " / ".join(f"{100 * share:.1f}" if share is not None else "-" for share in saved),
        {(True, True): "both", (True, False): "alike", (False, True): "workload"}.get(
            (front["mae"], front["weighted_mae"]), ""
        ),
    )  # fmt: skip


def _show_errors(found: list[Cell], json: bool) -> None:
    if json:
        print_json(errors_document(found))
        return
    rows = [
        (c.name, str(len(c.netlist.gates)), f"{c.errors.mae:.2f}", f"{'>= ' if c.errors.sample else ''}{c.errors.wce}",
         f"{100 * c.errors.ep:.1f} %", f"{100 * c.errors.mre:.2f} %", f"{c.errors.mse:.4g}", f"{c.errors.bias:.2f}",
         f"{c.errors.variance:.4g}")
        for c in found
    ]  # fmt: skip
    print_table(f"{len(found)} cells", ("cell", "gates", "MAE", "WCE", "EP", "MRE", "MSE", "bias", "variance"), rows)
