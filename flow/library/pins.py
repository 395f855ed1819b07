"""Pins of a Liberty cell: single ones, and the members of its buses and bundles with what these state for all."""

import re
from collections.abc import Iterator

from .syntax import CONTINUED, Attribute, Group

_RANGE = re.compile(r"(\w+)\[(\d+):(\d+)\]")


def expanded(cell: Group, library: Group) -> dict[str, Group]:
    """A ``pin`` group by name of every pin; members of buses carry their bus's statements after their own."""
    found: dict[str, Group] = {}
    for group in cell.groups("pin"):
        found |= dict.fromkeys(_names(group), group)
    for bus in cell.groups("bus", "bundle"):
        common = [item for item in bus.items if not (isinstance(item, Group) and item.kind == "pin")]
        own = {name: one for group in bus.groups("pin") for name in _names(group) for one in [group]}
        for name in members(bus, cell, library) or own:
            found[name] = Group("pin", name, [*(own[name].items if name in own else []), *common])
    return found


def members(bus: Group, cell: Group, library: Group) -> list[str]:
    """Names of the pins of a bus, by its type, or of a bundle."""
    for item in bus.items:
        if isinstance(item, Attribute) and item.name == "members":
            return _split(item.text)
    types = {one.name: one for place in (library, cell) for one in place.groups("type")}
    kind = types.get(bus.get("bus_type") or "")
    if kind is None:
        return []
    style = library.get("bus_naming_style") or "%s[%d]"
    first, last = int(kind.number("bit_from")), int(kind.number("bit_to"))
    step = 1 if last >= first else -1
    return [
        style.replace("%s", one).replace("%d", str(bit))
        for one in _names(bus)
        for bit in range(first, last + step, step)
    ]


def related(text: str | None, cell: Group, library: Group) -> Iterator[str]:
    """The pins that a ``related_pin`` text names, singly, by range or by bus."""
    buses = {name: bus for bus in cell.groups("bus", "bundle") for name in _names(bus)}
    for name in _split(text or ""):
        if name in buses:
            yield from members(buses[name], cell, library)
        elif span := _RANGE.fullmatch(name):
            first, last = int(span[2]), int(span[3])
            step = 1 if last >= first else -1
            yield from (f"{span[1]}[{bit}]" for bit in range(first, last + step, step))
        else:
            yield name


def _names(group: Group) -> list[str]:
    return _split(group.arguments)


def _split(text: str) -> list[str]:
    return re.sub(rf'[",{CONTINUED}]', " ", text).split()
