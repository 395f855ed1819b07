"""From the tree of a Liberty file to a plain JSON model in fixed units, which the cache keeps.

Units: capacitance fF, time ps, energy fJ, leakage nW. A cell that cannot be used is left out, with the reason; a
library is refused where what all cells share is wrong. Not applied, and said in ``notes`` where the file has it:
factors (``k_*``) to operating conditions off the nominal ones, slew derating, modes, and tables of two outputs that
change together. ``sdf_cond``, design rules, wire loads, noise and drive currents decide nothing here.
"""

from collections.abc import Iterable
from typing import Any

from slipstick.errors import UserError

from .boolean import parse
from .leakage import leakage
from .pins import expanded, related
from .sequential import state
from .syntax import Attribute, Group, numbers
from .tables import Tables
from .units import units as read_units

_TIMING_TABLES = (
    "cell_rise", "cell_fall", "rise_transition", "fall_transition", "rise_constraint", "fall_constraint",
)  # fmt: skip
_SKIPPED_TIMING = (
    "hold", "recovery", "removal", "min_", "minimum_", "max_clock_tree", "skew", "nochange", "non_seq", "retain",
)  # fmt: skip
_DIRECTIONS = ("input", "output", "inout", "internal")
_IGNORED = ("mode", "equal_or_opposite_output")


def library_model(library: Group, name: str) -> dict[str, Any]:
    """Plain JSON model of a library group, for ``liberty``; UserError for what the flow cannot use."""
    units, notes = read_units(library)
    voltage, temperature, said = _conditions(library)
    notes += said
    reader = _Reader(library, units)
    cells: dict[str, dict[str, Any]] = {}
    left_out: list[tuple[str, str]] = []
    for group in library.groups("cell"):
        try:
            if group.name in cells:
                raise UserError("stands twice: the first counts")
            cells[group.name] = reader.cell(group)
        except UserError as error:
            left_out.append((group.name, str(error)))
    if not cells:
        first = f"; {_named(left_out[0])}" if left_out else ""
        raise UserError(f"{name} holds no cells that can be used{first}" if left_out else f"{name} holds no cells")
    return {
        "name": library.name,
        "voltage_v": voltage * units["v"],
        "temperature_c": temperature,
        "cells": list(cells.values()),
        "left_out": left_out,
        "notes": notes + reader.notes(cells),
    }


def usable(library: Group, model: dict[str, Any]) -> Group:
    """The library without the cells that were left out."""
    names = {cell["name"] for cell in model["cells"]}
    items: list[Attribute | Group] = []
    for item in library.items:
        is_cell = isinstance(item, Group) and item.kind == "cell"
        if not isinstance(item, Group) or not is_cell or item.name in names:
            items.append(item)
            names -= {item.name} if is_cell else set()
    return Group(library.kind, library.arguments, items)


def _named(one: tuple[str, str]) -> str:
    return f"cell {one[0]}{', ' if one[1].startswith('pin ') else ': '}{one[1]}"


def _conditions(library: Group) -> tuple[float, float, list[str]]:
    """Voltage (in the file's unit), temperature, and what is to be said of them; UserError for none above 0 V."""
    wanted = library.get("default_operating_conditions")
    groups = {group.name: group for group in library.groups("operating_conditions")}
    chosen = groups.get(wanted or "", library)
    nominal = library.get("nom_voltage")
    voltage = chosen.number("voltage", library.number("nom_voltage", 1.0))
    if voltage <= 0:
        raise UserError(f"library {library.name}: a supply of {voltage:g} V is not above 0")
    notes = []
    if chosen.get("voltage") is None and nominal is None:
        notes.append("states no voltage: 1 V is taken")
    factors = [item.name for item in library.items if isinstance(item, Attribute) and item.name.startswith("k_")]
    if nominal is not None and library.number("nom_voltage") != voltage and any(map(library.number, factors)):
        notes.append(
            f"has tables for {library.number('nom_voltage'):g} V and operating conditions of {voltage:g} V: "
            "its factors between them (k_volt_...) are not applied"
        )
    if library.number("slew_derate_from_library", 1.0) != 1.0:
        notes.append(
            f"has slew_derate_from_library {library.get('slew_derate_from_library')}: slews are taken as its tables say"
        )
    return voltage, chosen.number("temperature", library.number("nom_temperature", 25.0)), notes


class _Reader:
    """Reads cells of one library, and counts what is to be said of all of them."""

    def __init__(self, library: Group, units: dict[str, float]) -> None:
        self.library, self.units = library, units
        self.tables = Tables(library, units)
        self.default_leakage = library.number("default_cell_leakage_power")
        self.leakage_density = library.number("default_leakage_power_density")
        self.counts: dict[str, list[str]] = {}

    def count(self, what: str, cell: str) -> None:
        """Note that this is so of a cell."""
        names = self.counts.setdefault(what, [])
        if not names or names[-1] != cell:
            names.append(cell)

    def notes(self, cells: dict[str, dict[str, Any]]) -> list[str]:
        """A sentence on everything that was counted or is absent; on leakage of cells that mapping may use only."""
        silent = [
            one["name"]
            for one in cells.values()
            if one["leakage"] is None and not one["states"] and not one["dont_use"] and _has_logic(one)
        ]
        said = []
        if not any(pin["internal"] for one in cells.values() for pin in one["pins"]):
            said.append("has no internal power: it counts as 0")
        if silent and all(one["leakage"] is None and not one["states"] for one in cells.values()):
            said.append("has no leakage data: its leakage counts as 0")
        elif silent:
            said.append(f"has no leakage data for {_some(silent)}: it counts as 0")
        return said + [f"{what} in {_some(names)}" for what, names in self.counts.items()]

    def cell(self, group: Group) -> dict[str, Any]:
        """Model of a cell; UserError says why it cannot be used, from the pin on."""
        if group.get("area") is None:
            raise UserError("has no area")
        area = group.number("area")
        groups = expanded(group, self.library)
        found = state(group, groups)
        functions = found.pop("functions")
        pins = []
        for name, one in groups.items():
            try:
                pins.append(self.pin(one, name, group, functions))
            except UserError as error:
                raise UserError(f"pin {name}: {error}") from None
        if area < 0 or (area == 0 and any(pin["function"] for pin in pins)):
            raise UserError(f"has an area of {area:g}")
        names = set(groups)
        internal = set(found.pop("names")) - {""}
        for element in (found["flop"], found["latch"]):
            self.check(element[2:6] if element else (), names | internal, "its state")
        for pin in pins:
            self.check((pin["function"],), names | internal, f"pin {pin['name']}: function")
            self.check((arc[1] for arc in pin["internal"]), names | internal, f"pin {pin['name']}: when")
            unknown = {arc[0] for arc in (*pin["timing"], *pin["internal"]) if arc[0]} - names
            if unknown:
                raise UserError(f"pin {pin['name']}: related_pin {min(unknown)!r} is no pin of the cell")
        states, default = self.leakage(group, area, names | internal)
        return {
            "name": group.name,
            "area": area,
            "pins": pins,
            "leakage": default,
            "states": states,
            "dont_use": (group.get("dont_use") or "").lower() == "true",
            **found,
        }

    def check(self, texts: Iterable[str | None], names: set[str], place: str) -> None:
        """UserError for an expression that cannot be read or names what is not there."""
        for text in texts:
            if text:
                unknown = [name for name in parse(text).pins() if name not in names]
                if unknown:
                    raise UserError(f"{place} {text!r} names {unknown[0]!r}, which is no pin of the cell")

    def leakage(self, group: Group, area: float, names: set[str]) -> tuple[list[list[Any]], float | None]:
        """Leakage of every state and of the rest, all supplies together; None where nothing is stated."""
        unit = self.units["nw"]
        stated = list(group.groups("leakage_power"))
        self.check((one.get("when") for one in stated), names, "leakage_power: when")
        if any(one.get("value") is None for one in stated):
            raise UserError("a leakage_power group has no value")
        whole = group.number("cell_leakage_power") if group.get("cell_leakage_power") is not None else None
        found = leakage([(one.get("when"), _supply(one) or "", one.number("value")) for one in stated], whole)
        if found.overlaps:
            self.count("takes the first of leakage states that overlap", group.name)
        rest = found.rest
        if rest is None and (default := self.default_leakage or self.leakage_density * area):
            rest = default
        return [[when, value * unit] for when, value in found.states], None if rest is None else rest * unit

    def pin(self, group: Group, name: str, cell: Group, functions: dict[str, str]) -> dict[str, Any]:
        direction = group.get("direction")
        default = self.library.number("default_input_pin_cap") if direction == "input" else 0.0
        own = _capacitance(group, "capacitance", default)
        rise, fall = (_edge_capacitance(group, edge, own) for edge in ("rise", "fall"))
        if direction == "input" and not any("capacitance" in i.name for i in group.items if isinstance(i, Attribute)):
            self.count("takes default_input_pin_cap or 0 for pins without a capacitance", cell.name)
        found = {
            "name": name,
            "direction": direction,
            "function": functions.get(name) or group.get("function"),
            "three_state": group.get("three_state") is not None,
            "clock": group.get("clock") == "true",
            "rise": rise * self.units["ff"],
            "fall": fall * self.units["ff"],
            "timing": [arc for timing in group.groups("timing") for arc in self.timing(timing, cell)],
            "internal": [arc for power in group.groups("internal_power") for arc in self.internal(power, cell)],
        }
        if direction not in _DIRECTIONS:
            raise UserError("has no direction" if direction is None else f"direction {direction!r} is none")
        return found

    def timing(self, group: Group, cell: Group) -> Iterable[list[Any]]:
        kind = group.get("timing_type") or "combinational"
        if kind.startswith(_SKIPPED_TIMING):
            return
        tables = [self.tables.read(group, name, "ps") for name in _TIMING_TABLES]
        for name in related(group.get("related_pin"), cell, self.library):
            yield [name, group.get("timing_sense") or "non_unate", kind, *tables]

    def internal(self, group: Group, cell: Group) -> Iterable[list[Any]]:
        for attribute in _IGNORED:
            if any(isinstance(item, Attribute) and item.name == attribute for item in group.items):
                self.count(f"has {attribute} of internal_power, which is ignored,", cell.name)
        both = self.tables.read(group, "power", "fj")
        rise = self.tables.read(group, "rise_power", "fj") or both
        fall = self.tables.read(group, "fall_power", "fj") or both
        pins: list[str | None] = [*related(group.get("related_pin"), cell, self.library)]
        for name in pins or [None]:
            yield [name, group.get("when"), _supply(group), rise, fall]


def _capacitance(group: Group, name: str, default: float) -> float:
    value = group.number(name, default)
    if value < 0:
        raise UserError(f"has {name} {value:g}")
    return value


def _edge_capacitance(group: Group, edge: str, own: float) -> float:
    """What a rising or falling edge sees: the upper end of its range where one is stated, as OpenSTA takes it."""
    plain = _capacitance(group, f"{edge}_capacitance", own)
    text = group.get(f"{edge}_capacitance_range")
    if text is None:
        return plain
    try:
        lower, upper = numbers(text)
        if not 0 <= lower <= upper:
            raise ValueError
    except ValueError:
        raise UserError(f"{edge}_capacitance_range ({text}) is not two capacitances, the lower first") from None
    return upper


def _supply(group: Group) -> str | None:
    """The supply that pays, in either spelling."""
    return group.get("related_pg_pin") or group.get("power_level")


def _has_logic(cell: dict[str, Any]) -> bool:
    return any(pin["function"] for pin in cell["pins"])


def _some(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} cells more" if len(names) > 4 else "")
