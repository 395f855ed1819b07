"""The registry of cells: families register beside their definition, cells are built on first use."""

import fnmatch
import re
import warnings
from collections.abc import Callable
from functools import cache

from slipstick.errors import UnknownName, UserError

from . import library
from .cell import Cell
from .netlist import BitFunction

_CELLS: dict[str, tuple[str, BitFunction, int, bool, dict[str, int]]] = {}


def cell_name(family: str, width: int, signed: bool, parameters: dict[str, int]) -> str:
    """The name that parameters give a cell: family, width, signedness, then each non-zero parameter."""
    tail = "".join(f"_{key}{value}" for key, value in parameters.items() if value)
    return f"{family}{width}{'s' if signed else 'u'}{tail}"


def make(family: str, function: BitFunction, *, width: int, signed: bool, **parameters: int) -> Cell:
    """Trace a cell under the name that its parameters give it."""
    name = cell_name(family, width, signed, parameters)
    return Cell.trace(name, family, function, width=width, signed=signed, **parameters)


def register(
    family: str, maker: Callable[..., BitFunction], *, width: int = 8, signed: bool, **parameters: int
) -> None:
    """Register a cell that is traced on first use; refuses a second cell of the same name."""
    name = cell_name(family, width, signed, parameters)
    if name in _CELLS:
        raise ValueError(f"cell {name!r} is registered already")
    _CELLS[name] = (family, maker(width=width, signed=signed, **parameters), width, signed, parameters)


def cell(name: str) -> Cell:
    """Return the registered cell or the user's own cell of this name; UnknownName shows near names."""
    if name in _CELLS:
        return _registered(name)
    path = library.path_of(name)
    if path is None:
        raise UnknownName("cell", name, [*_CELLS, *library.names()])
    return library.load(path)


@cache
def _registered(name: str) -> Cell:
    family, function, width, signed, parameters = _CELLS[name]
    return make(family, function, width=width, signed=signed, **parameters)


def registered() -> list[Cell]:
    """All shipped cells, in the order of registration: without the user's own."""
    return [_registered(name) for name in _CELLS]


def is_registered(name: str) -> bool:
    """Whether a shipped cell has this name; no user's cell may."""
    return name in _CELLS


def names(pattern: str = "*") -> list[str]:
    """Names of registered and of the user's cells that match a shell pattern, in natural order.

    UnknownName when none does.
    """
    found = {*fnmatch.filter(_CELLS, pattern), *library.names(pattern)}
    if not found:
        raise UnknownName("cell", pattern, [*_CELLS, *library.names()])
    return sorted(found, key=lambda name: [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", name)])


def cells(pattern: str = "*") -> list[Cell]:
    """Cells whose name matches a shell pattern, in natural order.

    Damaged files of the user's are left out with a warning; UserError when nothing else matches.
    """
    found, damaged = [], []
    for name in names(pattern):
        try:
            found.append(cell(name))
        except UserError as error:
            damaged.append(error)
    if not found:
        raise damaged[0]
    for one in damaged:
        warnings.warn(f"left out: {one}", stacklevel=2)
    return found
