"""The modules of Verilog sources: which is the cell, what it is made of, and the text without all else."""

import re
from collections.abc import Iterable

from slipstick.errors import UnknownName, UserError

from .verilog_text import NOT_PLAIN, Sources, Unit

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")


def choose_top(sources: Sources, top: str | None) -> str:
    """The top module: the given one, or the only one with ports that no other of these instantiates."""
    if top is None:
        candidates = [name for name in sources.modules if _has_ports(sources.units[name])] or sources.modules
        inner = {used for name in candidates for used in sources.units[name].instantiated - {name}}
        outer = [name for name in candidates if name not in inner]
        if len(outer) != 1:
            several = ", ".join((outer or sources.modules)[:8])
            raise UserError(f"{sources.origins[sources.roots[0]]} has several modules ({several}); choose with --top")
        return outer[0]
    if not _IDENTIFIER.fullmatch(top):
        raise UserError(f"module name {top!r} {NOT_PLAIN}")
    if top not in sources.modules:
        raise UnknownName("module", top, sources.modules)
    return top


def texts_of(sources: Sources, top: str) -> dict[str, str]:
    """All files as far as they are part of the cell: other units, and text left out by conditions, are blank.

    Lines keep their numbers. UserError for what no cell may contain.
    """
    reached = _reached(sources, top)
    for name in reached:
        if sources.units[name].faults:
            raise UserError(sources.units[name].faults[0])
    texts = {}
    for file, text in sources.texts.items():
        end = sources.spans[file][-1].end if sources.spans[file] else 0
        kept = [
            text[span.start : span.end] if span.keep and (span.unit is None or span.unit in reached)
            else re.sub(r"[^\n]", " ", text[span.start : span.end])
            for span in sources.spans[file]
        ]  # fmt: skip
        texts[file] = "".join([*kept, text[end:]])
    return texts


def _reached(sources: Sources, top: str) -> set[str]:
    """The top module and every unit that it, or one of these, names."""
    reached, waiting = set(), [top]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += _named(sources, sources.units[name])
    return reached


def _named(sources: Sources, unit: Unit) -> Iterable[str]:
    return (word for word in unit.words if word in sources.units)


def _has_ports(unit: Unit) -> bool:
    """Whether a module's header lists ports: parameters are none."""
    depth, port_words, parameters = 0, 0, False
    for text in unit.header[1:]:
        if text == "#":
            parameters = True
        elif text == "(":
            depth += 1
        elif text == ")":
            depth -= 1
            parameters = parameters and depth > 0
        elif depth and not parameters:
            port_words += 1
    return port_words > 0
