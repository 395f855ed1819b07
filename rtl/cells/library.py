"""A user's own cells: one JSON file a cell in a folder, found by name like registered ones.

A file holds ``{"name", "family", "signed", "widths", "gates", "outputs", "digest", "provenance"}``; gates, outputs
and node numbers are those of ``Netlist``.
"""

import fnmatch
import json
import os
import re
from pathlib import Path
from typing import Any

from slipstick.errors import UserError
from slipstick.files import write_text
from slipstick.store import data_root

from . import moved
from .cell import Cell
from .netlist import NOT, Netlist
from .wrapped import SUFFIX

VARIABLE = "SLIPSTICK_CELLS"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")


def folder() -> Path:
    """Where cells are written: ``$SLIPSTICK_CELLS``, else ``cells`` in the platform's folder of user data."""
    own = os.environ.get(VARIABLE)
    return Path(own) if own else data_root() / "cells"


def folders() -> list[Path]:
    """Where cells are looked for, in this order; cells that lie beside the cache are moved first."""
    if os.environ.get(VARIABLE):
        return [folder()]
    moved.move_into(folder())
    return [folder(), moved.former_folder()]


def check_name(name: str) -> None:
    """UserError unless ``name`` can be a cell's, and so part of a module's and a file's name."""
    if not _NAME.fullmatch(name):
        raise UserError(f"cell name {name!r}: give a letter, then up to 62 letters, digits or _, with --name")
    if name.endswith(SUFFIX):
        raise UserError(f"cell name {name!r}: names in {SUFFIX} are those of unsigned cells between negations; --name")


def path_of(name: str) -> Path | None:
    """The file of a user's cell; None when there is none."""
    if not _NAME.fullmatch(name):
        return None
    return next((path for place in folders() if (path := place / f"{name}.json").is_file()), None)


def names(pattern: str = "*") -> list[str]:
    """Names of the user's cells that match a shell pattern, broken files included."""
    found = {path.stem for place in folders() for path in place.glob("*.json") if _NAME.fullmatch(path.stem)}
    return sorted(fnmatch.filter(found, pattern))


def load(path: Path) -> Cell:
    """Read a cell; UserError names the file when it is damaged."""
    return _read(path)[0]


def provenance(path: Path) -> dict[str, Any]:
    """Where a cell came from, as it was saved."""
    return _read(path)[1]


def save(cell: Cell, provenance: dict[str, Any], *, replace: bool = False) -> Path:
    """Write a cell into the user's folder; UserError when the name is taken, unless ``replace``."""
    check_name(cell.name)
    path, taken = folder() / f"{cell.name}.json", path_of(cell.name)
    if taken and not replace:
        raise UserError(
            f"cell {cell.name!r} is in {taken.parent} already; give another --name, or --force to replace it"
        )
    write_text(path, json.dumps(cell_document(cell, provenance)) + "\n")
    return path


def cell_document(cell: Cell, provenance: dict[str, Any]) -> dict[str, Any]:
    """A cell as the JSON of its file."""
    return {
        "name": cell.name,
        "family": cell.family,
        "signed": cell.signed,
        **netlist_json(cell.netlist),
        "digest": cell.digest,
        "provenance": provenance,
    }


def netlist_json(netlist: Netlist) -> dict[str, Any]:
    """A netlist as JSON values, field by field."""
    return {
        "widths": list(netlist.widths),
        "gates": [list(gate) for gate in netlist.gates],
        "outputs": list(netlist.outputs),
    }


def read_netlist(document: dict[str, Any]) -> Netlist:
    """The netlist of ``{"widths", "gates", "outputs"}``; ValueError, KeyError or TypeError unless it is one."""
    width_a, width_w = (int(width) for width in document["widths"])
    if not 1 <= min(width_a, width_w) <= max(width_a, width_w) <= 32:
        raise ValueError("widths")
    gates = tuple((int(gate), int(x), int(y)) for gate, x, y in document["gates"])
    outputs = tuple(int(node) for node in document["outputs"])
    first = 2 + width_a + width_w
    for node, (gate, x, y) in enumerate(gates, first):
        if not 0 <= gate <= NOT or not 0 <= x < node or not 0 <= y < node:
            raise ValueError("gates")
    if len(outputs) != width_a + width_w or not all(0 <= node < first + len(gates) for node in outputs):
        raise ValueError("outputs")
    return Netlist((width_a, width_w), gates, outputs)


def _read(path: Path) -> tuple[Cell, dict[str, Any]]:
    try:
        document = json.loads(path.read_text())
        cell = Cell(document["name"], document["family"], bool(document["signed"]), read_netlist(document))
        if cell.name != path.stem:
            raise ValueError("name")
        if cell.digest != document["digest"]:
            raise ValueError("digest")
        return cell, dict(document["provenance"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}"[:80].replace("\n", " ")
        raise UserError(f"{path} is no cell ({reason}); import it again with --force, or delete it") from error
