"""``slipstick cells import``: a multiplier of the user's own, from Verilog, C or a table."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from slipstick.errors import UserError
from slipstick.flow.importer import Elaboration, Imported, add_to_library, import_files
from slipstick.flow.importer.exact_errors import exact_errors
from slipstick.limits import COUNT, Limits, whole_number
from slipstick.rtl.cells import ErrorFigures
from slipstick.rtl.cells.errors import LARGEST_EXHAUSTIVE, SAMPLE, sampled

from .options import Json, Seed, number, print_json

OPERAND = Limits(1, 32)  # bits
QUICK = 20  # bits of both operands up to which figures take no time worth a progress bar


def run(
    files: Annotated[list[Path], typer.Argument(help="Verilog (.v .sv), C (.c), or a table (.npy .csv .h).")],
    top: Annotated[str | None, typer.Option(help="The Verilog module; needed where there are several.")] = None,
    signed: Annotated[
        bool | None, typer.Option("--signed/--unsigned", help="Default: as declared, or as fits.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the cell; default: that of the module or file.")] = None,
    a: Annotated[str | None, typer.Option(help="Port of the activation; default: the first input.")] = None,
    w: Annotated[str | None, typer.Option(help="Port of the weight; default: the second input.")] = None,
    product: Annotated[str | None, typer.Option(help="Port of the product; other outputs are left out then.")] = None,
    tie: Annotated[list[str] | None, typer.Option(help="A constant input, such as enable=1; repeatable.")] = None,
    param: Annotated[list[str] | None, typer.Option(help="A parameter of the top module, W=8; repeatable.")] = None,
    define: Annotated[
        list[str] | None, typer.Option("--define", "-D", help="A macro, NAME or NAME=VALUE; repeatable.")
    ] = None,
    include: Annotated[
        list[Path] | None, typer.Option("--include", "-I", help="A folder that includes are searched in; repeatable.")
    ] = None,
    liberty: Annotated[
        list[Path] | None, typer.Option(help="Liberty file of the cells in a mapped netlist; repeatable.")
    ] = None,
    c_function: Annotated[str | None, typer.Option(help="The C function; default: the name of the module.")] = None,
    allow_run_c: Annotated[bool, typer.Option("--allow-run-c", help="Compile and run the C file: trust it.")] = False,
    widths: Annotated[
        str | None, typer.Option(help="Operand widths such as 8x4, where C or a table hides them.")
    ] = None,
    index: Annotated[str, typer.Option(help="Rows and columns of a table by operand 'bits' or 'value'.")] = "bits",
    exact_errors: Annotated[
        bool, typer.Option("--exact-errors", help="All pairs beyond 24 bits of operands too: a minute for 16x16.")
    ] = False,
    samples: Annotated[int, number(Limits(1000, COUNT.most), help="Pairs drawn where not all are evaluated.")] = SAMPLE,
    seed: Seed = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace a cell of this name.")] = False,
    json: Json = False,
) -> None:
    """Import a multiplier; several files of one cell are checked against each other on all operand pairs.

    The cell then goes by its name everywhere: generate --mix, synth, search. It is kept as JSON in
    $SLIPSTICK_CELLS, by default the platform's folder of user data (~/.local/share/slipstick/cells on Linux).

    Example: slipstick cells import mul8s.v mul8s.c --top mul8s --allow-run-c
    """
    imported = import_files(
        files, top=top, function=c_function, allow_run_c=allow_run_c, signed=signed, widths=_widths(widths),
        index=index, name=name, ports=(a, w, product),
        elaboration=Elaboration(
            tuple(param or ()), tuple(define or ()), tuple(include or ()), tuple(liberty or ()), tuple(tie or ())
        ),
    )  # fmt: skip
    errors = _errors(imported, exact_errors, samples, seed)
    path = add_to_library(imported, replace=force)
    cell = imported.cell
    if json:
        print_json({
            "name": cell.name, "digest": cell.digest, "signed": cell.signed, "widths": cell.widths,
            "gates": len(cell.netlist.gates), "errors": errors.as_json(),
            "errors_relative": errors.fractions(cell.product_width), "notes": imported.notes, "file": str(path),
        })  # fmt: skip
        return
    kind = "signed" if cell.signed else "unsigned"
    typer.echo(f"{cell.name}: {kind} {cell.widths[0]} x {cell.widths[1]}, {len(cell.netlist.gates)} gates -> {path}")
    for note in imported.notes:
        typer.echo(f"  {note}")
    for line in describe(errors, cell.product_width):
        typer.echo(f"  {line}")


def describe(errors: ErrorFigures, product_width: int) -> list[str]:
    """Figures in words: absolute, and as EvoApproxLib's percentages; intervals where they are estimates."""
    relative = errors.fractions(product_width)
    margins = errors.sample.margins if errors.sample else {}
    lines = []
    for key, value in errors.as_json().items():
        if key == "sample":
            continue
        absolute = (
            str(value) if key == "wce" else f"{value:.6g}" if key not in ("ep", "mre") else f"{100 * value:.6g} %"
        )
        scale, unit = (1, "") if key not in ("ep", "mre") else (100, " %")
        margin = f" +- {scale * margins[key]:.2g}{unit}" if key in margins else ""
        bound = ">= " if margins and key == "wce" else ""
        share = f"  ({100 * relative[key]:.4g} % of 2^{product_width})" if key in ("mae", "wce", "bias") else ""
        lines.append(f"{key.upper() if key not in ('bias', 'variance') else key:8} {bound}{absolute}{margin}{share}")
    if errors.sample:
        sample = errors.sample
        lines.append(
            f"estimated from {sample.pairs:,} random pairs (seed {sample.seed}), {sample.confidence:.0%} intervals"
        )
    return lines


def _errors(imported: Imported, exact: bool, samples: int, seed: int) -> ErrorFigures:
    """Figures over all pairs, with a progress bar where that is long, or of a sample."""
    cell, bits = imported.cell, sum(imported.cell.widths)
    if bits <= QUICK:
        return cell.errors
    if bits > LARGEST_EXHAUSTIVE and not exact:
        return sampled(cell.netlist, cell.signed, samples, seed)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True, console=Console(stderr=True)) as bar:
        task = bar.add_task(f"errors of {cell.name}")
        return exact_errors(cell, lambda done, total: bar.update(task, completed=100 * done / total))


def _widths(text: str | None) -> tuple[int, int] | None:
    """Read ``8x4``; UserError unless it is two small numbers."""
    if text is None:
        return None
    left, cross, right = text.partition("x")
    if not cross:
        raise UserError(f"--widths {text!r}: give the bits of both operands, such as 8x4")
    return whole_number(left, "--widths", OPERAND), whole_number(right, "--widths", OPERAND)
