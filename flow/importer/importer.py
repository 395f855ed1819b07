"""One call from a user's files to a cell: read every form, check them against each other, keep where it came from."""

import hashlib
import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slipstick.errors import UserError
from slipstick.rtl.cells import Cell, library, registry

from .agreement import check_agreement
from .c_function import read_c
from .forms import Form, decide_signed
from .table import read_table, table_form
from .table_netlist import netlist_of
from .verilog import Elaboration, read_verilog

FAMILY = "imported"
KINDS = ((".v", ".sv", ".vh", ".svh"), (".c",), (".npy", ".csv", ".txt", ".h", ".hpp"))  # Verilog, C, tables
Widths = tuple[int, int]


@dataclass(frozen=True)
class Imported:
    """A cell, ``notes`` on how its sources were read, and its ``provenance`` for the library."""

    cell: Cell
    notes: tuple[str, ...]
    provenance: dict[str, Any]


def from_verilog(
    *paths: Path | str,
    top: str | None = None,
    signed: bool | None = None,
    name: str | None = None,
    a: str | None = None,
    w: str | None = None,
    product: str | None = None,
    elaboration: Elaboration | None = None,
) -> Cell:
    """The cell that Verilog files describe, structurally or behaviourally; ``top`` where there are several modules.

    Operands are the inputs in the order of the ports, or those named ``a`` and ``w``. Without ``signed`` the ports'
    declaration decides, else the reading nearer to a multiplier. ``elaboration`` gives parameters, macros and more.
    UserError for anything but a combinational multiplier of 2- to 16-bit operands whose product has as many bits as
    both.
    """
    return import_files(
        [Path(path) for path in paths],
        top=top,
        signed=signed,
        name=name,
        ports=(a, w, product),
        elaboration=elaboration,
    ).cell


def from_c(
    path: Path | str,
    function: str,
    *,
    allow_run: bool = False,
    signed: bool | None = None,
    widths: Widths | None = None,
    name: str | None = None,
) -> Cell:
    """The cell of a C function's table; the function is compiled and run, so UserError unless ``allow_run``.

    Parameters of unsigned types get the operands' bits, those of signed types their values.
    """
    return import_files(
        [Path(path)], function=function, allow_run_c=allow_run, signed=signed, widths=widths, name=name
    ).cell


def from_table(
    table: Path | str | np.ndarray,
    *,
    signed: bool | None = None,
    widths: Widths | None = None,
    index: str = "bits",
    name: str | None = None,
) -> Cell:
    """The cell of a table of products: integers [2^wa, 2^ww], or a .npy, .csv or C header file of them.

    ``index`` is ``bits`` or ``value`` (row 0 is the lowest operand). UserError for wrong shapes and ranges.
    """
    if isinstance(table, np.ndarray):
        form = table_form(table, signed=signed, index=index, widths=widths)
        return _finish([form], signed, name or "table", {}).cell
    return import_files([Path(table)], signed=signed, widths=widths, index=index, name=name).cell


def import_files(
    paths: Sequence[Path],
    *,
    top: str | None = None,
    function: str | None = None,
    allow_run_c: bool = False,
    signed: bool | None = None,
    widths: Widths | None = None,
    index: str = "bits",
    name: str | None = None,
    ports: tuple[str | None, str | None, str | None] = (None, None, None),
    elaboration: Elaboration | None = None,
) -> Imported:
    """Read all forms of one cell; those after the first must agree with it on all pairs.

    Verilog gives the gates where there is any, else the first table or C function does.
    """
    verilog, programs, tables = _by_kind(paths)
    how = elaboration or Elaboration()
    for option, given in (("--top", top), ("--param", how.parameters), ("--tie", how.ties), ("--liberty", how.liberty)):
        if given and not verilog:
            raise UserError(f"{option}: there is no Verilog among the files")
    forms: list[Form] = []
    if verilog:
        forms.append(read_verilog(verilog, top=top, a=ports[0], w=ports[1], product=ports[2], elaboration=how))
        if widths not in (None, forms[0].widths):
            declared = "x".join(map(str, forms[0].widths))
            raise UserError(
                f"{verilog[0]}: its operands are {declared}, not {widths[0]}x{widths[1]}; leave --widths out"
            )
        widths = forms[0].widths
    forms += [read_table(path, signed=signed, index=index, widths=widths) for path in tables]
    if programs:
        function = function or (forms[0].name if verilog else None)
        if function is None:
            raise UserError(f"{programs[0]}: say which function is the cell with --c-function")
        known = decide_signed(forms, signed)[0] if forms else signed
        forms.append(read_c(
            programs[0], function, allow_run=allow_run_c, signed=known, widths=widths, names=ports[:2],
            defines=how.defines, includes=how.includes,
        ))  # fmt: skip
    provenance = {
        "sources": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (*paths, *how.liberty)},
        "top": forms[0].name if verilog else None,
        "c_function": function if programs else None,
        "index": index if tables else None,
        "parameters": list(how.parameters) or None,
        "defines": list(how.defines) or None,
        "ties": list(how.ties) or None,
        "tools": {package: importlib.metadata.version(package) for package in ("pyosys", "numpy")},
    }
    recorded = {key: value for key, value in provenance.items() if value is not None}
    return _finish(forms, signed, name or forms[0].name, recorded)


def _by_kind(paths: Sequence[Path]) -> tuple[list[Path], list[Path], list[Path]]:
    """Verilog, C and table files."""
    sorted_paths: tuple[list[Path], list[Path], list[Path]] = ([], [], [])
    for path in paths:
        kind = next((kind for kind, suffixes in enumerate(KINDS) if path.suffix.lower() in suffixes), None)
        if kind is None:
            known = ", ".join(suffix for suffixes in KINDS for suffix in suffixes)
            raise UserError(f"{path}: its ending is none of {known}")
        if not path.is_file():
            raise UserError(f"{path} is {'no regular file' if path.exists() else 'not there'}")
        sorted_paths[kind].append(path)
    if not paths or len(sorted_paths[1]) > 1:
        raise UserError("only one C file can describe a cell" if paths else "name the files of the cell")
    return sorted_paths


def _finish(forms: Sequence[Form], wanted: bool | None, name: str, provenance: dict[str, Any]) -> Imported:
    library.check_name(name)
    signed, reading = decide_signed(forms, wanted)
    notes = [*(note for form in forms for note in form.notes), *([reading] if reading else [])]
    notes += check_agreement(forms, signed)
    netlist = forms[0].netlist
    if netlist is None:
        netlist, note = netlist_of(forms[0], signed)
        notes.append(note)
    return Imported(Cell(name, FAMILY, signed, netlist), tuple(notes), provenance)


def add_to_library(imported: Imported, *, replace: bool = False) -> Path:
    """Keep an imported cell in the user's folder; UserError when its name is taken."""
    if registry.is_registered(imported.cell.name):
        raise UserError(f"cell {imported.cell.name!r} is one of Slipstick's own; give another --name")
    return library.save(imported.cell, {**imported.provenance, "notes": imported.notes}, replace=replace)
