"""``slipstick pwl``: piecewise linear tables of non-linear functions, fitted and judged."""

import json as jsonlib
import math
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from slipstick.errors import UserError
from slipstick.files import check_writable, read_json, write_text
from slipstick.model.integer.config import IntegerConfig
from slipstick.model.pwl.curve import PwlCurve, codes_inside, mse_of_codes
from slipstick.model.pwl.functions import FUNCTIONS, Function, named
from slipstick.model.pwl.genetic import fit_genetic
from slipstick.model.pwl.optimal import fit as fit_codes
from slipstick.model.pwl.optimal import fit_float
from slipstick.model.pwl.published import from_published, is_published, table_at
from slipstick.rtl.spec.pwl import FRACTION, WIDTH, NarrowFormat, PwlFormat, PwlTable

from .options import Json, Seed, number, print_json, print_table

FRACTIONS = range(7)  # the published input scales, 2^0 to 2^-6
WIDEST = 16  # bits of coefficients that are tried unasked
TOLERANCE = 1.05

app = typer.Typer(help="Fit piecewise linear tables of non-linear functions, as in GQA-LUT.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    pass


@app.command()
def fit(
    function: Annotated[str, typer.Argument(help=f"One of {', '.join(FUNCTIONS)}.")],
    entries: Annotated[int, number(IntegerConfig.limits["entries"], help="Segments of the table.")] = 8,
    method: Annotated[
        Literal["optimal", "genetic"], typer.Option(help="Least squares on the grid, or GQA-LUT's search.")
    ] = "optimal",
    scale: Annotated[
        list[str] | None, typer.Option(help="Input scale such as 2^-4 or 0.0625; repeatable. [default: 2^0 to 2^-6]")
    ] = None,
    fraction: Annotated[int, number(FRACTION, help="Fraction bits of slopes and intercepts.")] = PwlFormat.fraction,
    width: Annotated[
        int | None,
        number(WIDTH, help="Bits of slopes and intercepts. [default: 8, or the fewest that suffice]"),
    ] = None,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(help="File to write: all that --json prints.")] = None,
    json: Json = False,
) -> None:
    """Fit a table for int8 inputs of every scale; errors over the published range, results not rounded.

    Example: slipstick pwl fit gelu --entries 8 --scale 2^-4 --out gelu.json
    """
    if out:
        check_writable(out)
    one = named(function)
    fractions = [_fraction(text) for text in scale] if scale else list(FRACTIONS)
    bits = _enough(one, entries, fraction) if width is None else width
    form = PwlFormat(bits, bits, fraction)
    if method == "genetic":
        curve = fit_genetic(one, entries, form, seed)
        tables = [curve.at_scale(d) for d in fractions]
    else:
        curve = fit_float(one, entries, form)
        tables = [fit_codes(one, entries, d, form) for d in fractions]
    document = _document(one, curve, tables, method)
    if out:
        write_text(out, jsonlib.dumps(document, indent=1) + "\n")
    _print(document, tables, json)
    if out and not json:
        typer.echo(f"tables: {out}")


def _enough(function: Function, entries: int, fraction: int) -> int:
    """The fewest bits, from 8, whose optimal curve errs at most TOLERANCE times as much as that of WIDEST bits."""
    least = fit_float(function, entries, PwlFormat(WIDEST, WIDEST, fraction)).mse(function)
    for bits in range(PwlFormat.slope_width, WIDEST):
        try:
            if fit_float(function, entries, PwlFormat(bits, bits, fraction)).mse(function) <= TOLERANCE * least:
                return bits
        except NarrowFormat:
            continue
    return WIDEST


@app.command()
def show(
    path: Annotated[Path, typer.Argument(help="A file of `pwl fit --out`, one table, or a published GQA-LUT file.")],
    json: Json = False,
) -> None:
    """Print the errors of tables in a file, over the published range, results not rounded.

    Example: slipstick pwl show gelu_pwl_7.json --json
    """
    curve, tables = _read(path)
    document = _document(named(tables[0].function), curve, tables, "file")
    _print(document, tables, json)


def _fraction(text: str) -> int:
    power = re.fullmatch(r"2(?:\^|\*\*)(-?\d+)", text.strip())
    try:
        value = math.ldexp(1, int(power[1])) if power else float(text)
    except (ValueError, OverflowError):
        raise UserError(f"scale {text!r} is no number; give for example 2^-4 or 0.0625") from None
    mantissa, exponent = math.frexp(value) if math.isfinite(value) else (0.0, 0)
    if mantissa != 0.5 or not 0 <= 1 - exponent <= FRACTION.most:
        raise UserError(
            f"scale {text} is not a power of two from 2^0 to 2^-{FRACTION.most}; give for example 2^-4 or 0.0625"
        )
    return 1 - exponent


def _document(function: Function, curve: PwlCurve | None, tables: list[PwlTable], method: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "function": function.name, "method": method, "entries": tables[0].entries,
        "range": [function.low, function.high], "step": function.step, "format": vars(tables[0].format),
    }  # fmt: skip
    if curve:
        found |= {"mse": curve.mse(function), "curve": curve.to_json()}
    return found | {
        "mse_int8": {str(one.input_fraction): mse_of_codes(one, function) for one in tables},
        "codes_int8": {
            str(one.input_fraction): len(codes_inside(function, one.input_fraction, one.input_width)) for one in tables
        },
        "tables": [one.to_json() for one in tables],
    }


def _read(path: Path) -> tuple[PwlCurve | None, list[PwlTable]]:
    data = read_json(path)
    try:
        if is_published(data):
            curves = from_published(data)
            return curves[max(curves)], [table_at(curves, d) for d in FRACTIONS]
        if isinstance(data, dict) and isinstance(data.get("tables"), list) and data["tables"]:
            curve = PwlCurve.from_json(data["curve"]) if "curve" in data else None
            return curve, [PwlTable.from_json(one) for one in data["tables"]]
        return None, [PwlTable.from_json(data)]
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _print(document: dict[str, Any], tables: list[PwlTable], json: bool) -> None:
    if json:
        print_json(document)
        return
    low, high = document["range"]
    title = f"{document['function']}, {document['entries']} entries, {tables[0].format}"
    if "mse" in document:
        title += f": MSE {document['mse']:.3g} over [{low:g}, {high:g}) in steps of {document['step']:g}"
    rows = [
        (f"2^-{one.input_fraction}", str(document["codes_int8"][key]), f"{document['mse_int8'][key]:.3g}",
         " ".join(map(str, one.breakpoints)))
        for one in tables for key in (str(one.input_fraction),)
    ]  # fmt: skip
    print_table(title, ("input scale", "codes in range", "MSE", "breakpoints"), rows)
    if len(tables) == 1:
        one = tables[0]
        starts = ("", *map(str, one.breakpoints))
        lines = [
            (start or "below", str(k), str(b)) for start, k, b in zip(starts, one.slopes, one.intercepts, strict=True)
        ]
        unit = f"2^-{one.format.fraction}"
        print_table("segments", ("from code", f"slope ({unit})", f"intercept ({unit})"), lines)
