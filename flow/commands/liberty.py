"""``slipstick liberty``: work on Liberty files."""

from pathlib import Path
from typing import Annotated

import typer

from slipstick.files import write_text
from slipstick.flow.library.liberty import Liberty, load_liberty, parse_liberty, read_text
from slipstick.flow.library.merge import merge as merged_text
from slipstick.flow.library.slim import write_slim

from .options import Json, print_json

app = typer.Typer(help="Work on Liberty files.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    pass


@app.command()
def slim(
    source: Annotated[Path, typer.Argument(help="Liberty file, gzipped or not.")],
    out: Annotated[Path, typer.Argument(help="Slimmed file to write, gzipped.")],
) -> None:
    """Keep what mapping and power need, at 4 significant digits.

    Example: slipstick liberty slim sg13g2_stdcell_typ_1p20V_25C.lib.gz sg13g2_typ_slim.lib.gz
    """
    load_liberty(source)  # tells what cannot be used
    write_slim(read_text(source), out, str(source))
    typer.echo(f"{out}: {out.stat().st_size} bytes, from {source.stat().st_size}")


@app.command()
def merge(
    sources: Annotated[list[Path], typer.Argument(help="Liberty files of one corner, gzipped or not.")],
    out: Annotated[Path, typer.Option(help="File to write: one library with all cells.")],
) -> None:
    """Join the files of a library that comes in several, such as ASAP7.

    Example: slipstick liberty merge SIMPLE.lib INVBUF.lib AO.lib OA.lib SEQ.lib --out asap7.lib
    """
    text = merged_text([(str(source), read_text(source)) for source in sources])
    parse_liberty(text, str(out))  # tells what cannot be used
    write_text(out, text)
    typer.echo(f"{out}: {text.count(chr(10))} lines from {len(sources)} files")


@app.command()
def show(
    source: Annotated[Path, typer.Argument(help="Liberty file, gzipped or not.")],
    json: Json = False,
) -> None:
    """Corner, cells and tables of a library, as the flow reads it.

    Example: slipstick liberty show sg13g2_stdcell_typ_1p20V_25C.lib.gz
    """
    facts = _facts(load_liberty(source))
    if json:
        print_json(facts)
    else:
        for name, value in facts.items():
            if not isinstance(value, list | dict):  # these were told when the file was read
                typer.echo(f"{name.replace('_', ' ')}: {value}")


def _facts(liberty: Liberty) -> dict[str, str | int | float | list[str] | dict[str, str]]:
    cells = liberty.cells.values()
    pins = [pin for cell in cells for pin in cell.pins.values()]
    return {
        "library": liberty.name,
        "voltage_v": liberty.voltage_v,
        "temperature_c": liberty.temperature_c,
        "cells": len(liberty.cells),
        "gates": sum(cell.is_combinational for cell in cells),
        "flip_flops": sum(cell.flop is not None for cell in cells),
        "latches": sum(cell.latch is not None and cell.clock_gate is None for cell in cells),
        "clock_gates": sum(cell.clock_gate is not None for cell in cells),
        "dont_use": sum(cell.dont_use for cell in cells),
        "timing_arcs": sum(len(pin.timing) for pin in pins),
        "internal_power_arcs": sum(len(pin.internal) for pin in pins),
        "leakage_states": sum(len(cell.leakage_states) for cell in cells),
        "driving_cell": liberty.driving_cell or "none",
        "left_out": len(liberty.left_out),
        "left_out_cells": dict(liberty.left_out),
        "notes": list(liberty.notes),
    }
