"""The registry of cells: families register beside their definition, cells are built on first use."""

import fnmatch
import re
from collections.abc import Callable
from functools import cache

from slipstick.errors import UnknownName

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


@cache
def cell(name: str) -> Cell:
    """Return the registered cell of this name; UnknownName shows near names."""
    if name not in _CELLS:
        raise UnknownName("cell", name, _CELLS)
    family, function, width, signed, parameters = _CELLS[name]
    return make(family, function, width=width, signed=signed, **parameters)


def names(pattern: str = "*") -> list[str]:
    """Registered names that match a shell pattern, in natural order; UnknownName when none does."""
    found = fnmatch.filter(_CELLS, pattern)
    if not found:
        raise UnknownName("cell", pattern, _CELLS)
    return sorted(found, key=lambda name: [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", name)])


def cells(pattern: str = "*") -> list[Cell]:
    """Registered cells whose name matches a shell pattern, in natural order."""
    return [cell(name) for name in names(pattern)]
