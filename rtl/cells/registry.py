"""The registry of cells: families register beside their definition, cells are built on first use."""

import fnmatch
import inspect
import itertools
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from types import SimpleNamespace

from slipstick.errors import UnknownName, UserError

from . import library
from .cell import Cell
from .wrapped import SUFFIX, on_signed_operands

WIDTHS = range(2, 17)  # bits of an operand
Widths = tuple[int, int]
Limits = Callable[[SimpleNamespace], Iterable[int]]

FAMILIES: dict[str, "Family"] = {}
_CELLS: dict[str, Callable[[], Cell]] = {}


@dataclass(frozen=True)
class Sizes:
    """The operand widths that a family takes: a test of (wa, ww) and the words for it."""

    words: str
    fit: Callable[[int, int], bool]


ANY = Sizes("operands of 2 to 16 bits", lambda wa, ww: True)
SQUARE = Sizes("operands of equal width, 4 to 16 bits", lambda wa, ww: wa == ww >= 4)


def complements(scope: SimpleNamespace) -> range:
    """Limits of the parameter ``o`` of ``bits.on_magnitudes``: unsigned operands have nothing to negate."""
    return range(2 if scope.signed else 1)


@dataclass(frozen=True)
class Family:
    """A parametric generator of cells.

    ``product(a, w, signed=..., **parameters)`` makes the bits of the product from two words of bits.
    ``limits`` name the parameters in the order of the cell's name; each gives the values allowed,
    from a scope with ``wa``, ``ww``, ``signed`` and the parameters before it. One left out is 0.
    """

    name: str
    product: Callable[..., Sequence]
    limits: dict[str, Limits]
    sizes: Sizes

    @property
    def source(self) -> str:
        """What it does and where it was published."""
        return inspect.getdoc(self.product) or ""

    def check(self, widths: Widths, signed: bool, parameters: dict[str, int]) -> dict[str, int]:
        """All parameters in order, 0 for those left out; UserError says what is allowed."""
        wa, ww = widths
        if wa not in WIDTHS or ww not in WIDTHS or not self.sizes.fit(wa, ww):
            raise UserError(f"family {self.name!r} takes {self.sizes.words}, not {wa} x {ww}")
        if unknown := sorted(set(parameters) - set(self.limits)):
            wanted = ", ".join(self.limits) or "none"
            raise UserError(f"family {self.name!r} has no parameter {unknown[0]!r}; its parameters: {wanted}")
        scope = SimpleNamespace(wa=wa, ww=ww, signed=signed)
        for key, limit in self.limits.items():
            value, allowed = parameters.get(key, 0), list(limit(scope))
            if value not in allowed:
                given = f"not {key} = {value}" if key in parameters else "none is given"
                size = f"{wa} x {ww} {'signed' if signed else 'unsigned'} bits"
                raise UserError(f"cells of family {self.name!r} at {size} take {key} = {_values(allowed)}; {given}")
            setattr(scope, key, value)
        return {key: getattr(scope, key) for key in self.limits}

    def build(self, widths: Widths, signed: bool, **parameters: int) -> Cell:
        """Trace a cell under the name that its parameters give it."""
        chosen = self.check(widths, signed, parameters)
        function = partial(self.product, signed=signed, **chosen)
        name = cell_name(self.name, widths, signed, chosen)
        return Cell.trace(name, self.name, function, widths=widths, signed=signed, **chosen)

    def register(self, *, widths: Widths = (8, 8), signed: bool | None = None, **values: int | Iterable[int]) -> None:
        """Register the cells of every combination of ``values``, signed and unsigned unless told which."""
        choices = [[value] if isinstance(value, int) else list(value) for value in values.values()]
        for sign in (True, False) if signed is None else (signed,):
            for choice in itertools.product(*choices):
                parameters = dict(zip(values, choice, strict=True))
                name = cell_name(self.name, widths, sign, {key: parameters.get(key, 0) for key in self.limits})
                register(name, partial(self.build, widths, sign, **parameters))


def family(sizes: Sizes = ANY, **limits: Limits) -> Callable[[Callable[..., Sequence]], Family]:
    """Decorate a product function: makes it a family of its name with parameters within ``limits``."""

    def decorate(product: Callable[..., Sequence]) -> Family:
        made = Family(product.__name__, product, limits, sizes)
        FAMILIES[made.name] = made
        return made

    return decorate


def cell_name(family: str, widths: Widths, signed: bool, parameters: dict[str, int]) -> str:
    """The name that parameters give a cell: family, widths, signedness, then each non-zero parameter."""
    tail = "".join(f"_{key}{value}" for key, value in parameters.items() if value)
    width = str(widths[0]) if widths[0] == widths[1] else f"{widths[0]}x{widths[1]}"
    return f"{family}{width}{'s' if signed else 'u'}{tail}"


def register(name: str, make: Callable[[], Cell]) -> None:
    """Register a cell that ``make`` builds on first use; refuses a second cell of the same name."""
    if name in _CELLS:
        raise ValueError(f"cell {name!r} is registered already")
    _CELLS[name] = make


def build(family: str, *, width: int | Widths = 8, signed: bool = True, **parameters: int) -> Cell:
    """A cell of any size and parameters, registered or not: ``build("truncated", width=(12, 8), k=7)``.

    Raises UnknownName for a family, UserError for a width or parameter outside the family's range.
    """
    if family not in FAMILIES:
        raise UnknownName("family of cells", family, FAMILIES)
    return FAMILIES[family].build((width, width) if isinstance(width, int) else width, signed, **parameters)


def cell(name: str) -> Cell:
    """The cell of this name: registered, the user's own, or of a family and parameters that the name spells.

    Raises UnknownName with near names, UserError where a parameter leaves its family's range.
    """
    if name in _CELLS:
        return _registered(name)
    path = library.path_of(name)
    if path is not None:
        return library.load(path)
    spelled = _spelled(name)
    if spelled is not None:
        return spelled
    if inner := _wrapped_name(name):
        return on_signed_operands(cell(inner))
    raise UnknownName("cell", name, [*_CELLS, *library.names()])


@cache
def _registered(name: str) -> Cell:
    return _CELLS[name]()


def registered() -> list[Cell]:
    """All shipped cells, in the order of registration: without the user's own."""
    return [_registered(name) for name in _CELLS]


def is_registered(name: str) -> bool:
    """Whether a shipped cell has this name, or spells a family's; no user's cell may."""
    try:
        return name in _CELLS or _spelled(name) is not None
    except UserError:  # a family's name with parameters that it does not take
        return False


def names(pattern: str = "*") -> list[str]:
    """Names of registered and of the user's cells that match a shell pattern, in natural order.

    The full name of a cell that is not registered stands for itself, as in ``cell``. UnknownName when none matches.
    """
    found = {*fnmatch.filter(_CELLS, pattern), *library.names(pattern)}
    if not found and (_spelled(pattern) or _wrapped_name(pattern)):
        found = {pattern}
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


def _wrapped_name(name: str) -> str | None:
    """The unsigned cell in ``<cell>_on_magnitudes``; None for any other name, UserError for a signed cell."""
    inner = name.removesuffix(SUFFIX)
    if inner == name or not (inner in _CELLS or library.path_of(inner) or _spelled(inner)):
        return None
    if cell(inner).signed:
        raise UserError(f"cell {inner!r} is signed: it is no cell on magnitudes")
    return inner


@cache
def _spelled(name: str) -> Cell | None:
    match = re.fullmatch(r"([a-z_]+)([0-9]{1,4})(?:x([0-9]{1,4}))?([su])((?:_[a-z]+[0-9]{1,4})*)", name)
    if not match or match[1] not in FAMILIES:
        return None
    widths = (int(match[2]), int(match[3] or match[2]))
    parameters = {key: int(value) for key, value in re.findall(r"_([a-z]+)([0-9]+)", match[5])}
    made = FAMILIES[match[1]].build(widths, match[4] == "s", **parameters)
    if made.name != name:
        raise UserError(f"cell {name!r} is written {made.name!r}")
    return made


def _values(allowed: list[int]) -> str:
    if len(allowed) > 1 and allowed == list(range(allowed[0], allowed[-1] + 1)):
        return f"{allowed[0]} to {allowed[-1]}"
    return " or ".join(map(str, allowed)) or "nothing"
