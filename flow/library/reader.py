"""From the tree of a Liberty file to a plain JSON model in fixed units, which the cache keeps.

Units: capacitance fF, time ps, energy fJ, leakage nW. Tables come out as [slews, loads, rows] whatever
the order of their indices; the template decides which index is which.
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from slipstick.errors import UserError

from .syntax import Group, numbers

_SLEW_VARIABLES = ("input_net_transition", "input_transition_time", "constrained_pin_transition")
_LOAD_VARIABLES = ("total_output_net_capacitance", "related_pin_transition")
_TIMING_TABLES = (
    "cell_rise", "cell_fall", "rise_transition", "fall_transition", "rise_constraint", "fall_constraint",
)  # fmt: skip
_SCALE = {"": 1.0, "f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "m": 1e-3}


def _unit(library: Group, name: str, default: str, base: float) -> float:
    """Size of a unit attribute such as "1ns" or "10ps", relative to ``base`` of its SI unit."""
    text = (library.get(name) or default).replace(" ", "")
    digits = len(text) - len(text.lstrip("0123456789.eE+-"))
    return _size(library, name, text[:digits], text[digits:], default) / base


def _size(library: Group, name: str, number: str, letters: str, default: str) -> float:
    prefix, unit = letters[:-1].lower(), letters[-1:].lower()
    try:
        if unit != default[-1].lower():
            raise ValueError
        return float(number or 1) * _SCALE[prefix]
    except (ValueError, KeyError):
        problem = f"{name} {number + letters!r} is not a unit such as {default!r}"
        raise UserError(f"library {library.name}: {problem}") from None


def library_model(library: Group, name: str) -> dict[str, Any]:
    """Plain JSON model of a library group, for ``liberty``; UserError for what the flow cannot use."""
    number, _, letters = (library.get("capacitive_load_unit") or "1,pf").replace('"', "").partition(",")
    units = {
        "ps": _unit(library, "time_unit", "1ns", 1e-12),
        "ff": _size(library, "capacitive_load_unit", number.strip(), letters.strip(), "1pf") / 1e-15,
        "nw": _unit(library, "leakage_power_unit", "1nW", 1e-9),
        "v": _unit(library, "voltage_unit", "1V", 1.0),
    }
    units["fj"] = units["v"] ** 2 * units["ff"]
    conditions = {group.name: group for group in library.groups("operating_conditions")}
    chosen = conditions.get(library.get("default_operating_conditions") or "", library)
    templates = {group.name: group for group in library.groups("lu_table_template", "power_lut_template")}
    reader = _Reader(library, templates, units)
    cells = [reader.cell(group) for group in library.groups("cell")]
    if not cells:
        raise UserError(f"{name} holds no cells")
    return {
        "name": library.name,
        "voltage_v": chosen.number("voltage", library.number("nom_voltage", 1.0)) * units["v"],
        "temperature_c": chosen.number("temperature", library.number("nom_temperature", 25.0)),
        "cells": cells,
    }


class _Reader:
    """Reads cells of one library with its templates and units."""

    def __init__(self, library: Group, templates: dict[str, Group], units: dict[str, float]) -> None:
        self.library, self.templates, self.units = library, templates, units
        self.place = ""

    def fault(self, problem: str) -> UserError:
        """The error that names library, cell and pin."""
        return UserError(f"library {self.library.name}, {self.place}: {problem}")

    def cell(self, group: Group) -> dict[str, Any]:
        self.place = f"cell {group.name}"
        if group.get("area") is None:
            raise self.fault("has no area")
        states, default = self.leakage(group)
        flop = next(group.groups("ff"), None)
        return {
            "name": group.name,
            "area": group.number("area"),
            "pins": [self.pin(pin, one) for pin in group.groups("pin") for one in pin.name.replace('"', "").split(",")],
            "leakage": default,
            "states": states,
            "flop": flop and _flop(flop),
            "latch": any(True for _ in group.groups("latch", "statetable", "ff_bank", "latch_bank")),
            "dont_use": group.get("dont_use") == "true",
        }

    def leakage(self, group: Group) -> tuple[list[list[Any]], float]:
        """Leakage of every state and of the rest; a state that is stated by supply leaks through all of them."""
        by_state: dict[str | None, dict[str | None, float]] = {}
        for one in group.groups("leakage_power"):
            by_state.setdefault(one.get("when"), {})[one.get("related_pg_pin")] = one.number("value")
        nanowatts = {when: sum(values.values()) * self.units["nw"] for when, values in by_state.items()}
        rest = group.number("cell_leakage_power", self.library.number("default_cell_leakage_power")) * self.units["nw"]
        if group.get("cell_leakage_power") is None:
            rest = nanowatts.get(None, rest)
        return [[when, value] for when, value in nanowatts.items() if when], rest

    def pin(self, group: Group, name: str) -> dict[str, Any]:
        self.place = f"{self.place.partition(',')[0]}, pin {name.strip()}"
        direction = group.get("direction") or "input"
        default = self.library.number("default_input_pin_cap") if direction == "input" else 0.0
        own = group.number("capacitance", default)
        return {
            "name": name.strip(),
            "direction": direction,
            "function": group.get("function"),
            "three_state": group.get("three_state") is not None,
            "clock": group.get("clock") == "true",
            "rise": group.number("rise_capacitance", own) * self.units["ff"],
            "fall": group.number("fall_capacitance", own) * self.units["ff"],
            "timing": [arc for timing in group.groups("timing") for arc in self.timing(timing)],
            "internal": [arc for power in group.groups("internal_power") for arc in self.internal(power)],
        }

    def timing(self, group: Group) -> Iterable[list[Any]]:
        kind = group.get("timing_type") or "combinational"
        if kind.startswith(("hold", "recovery", "removal", "min_", "skew", "nochange", "non_seq")):
            return
        tables = [self.table(group, name, self.units["ps"]) for name in _TIMING_TABLES]
        for related in (group.get("related_pin") or "").split():
            yield [related, group.get("timing_sense") or "non_unate", kind, *tables]

    def internal(self, group: Group) -> Iterable[list[Any]]:
        both = self.table(group, "power", self.units["fj"])
        rise = self.table(group, "rise_power", self.units["fj"]) or both
        fall = self.table(group, "fall_power", self.units["fj"]) or both
        for related in (group.get("related_pin") or "").split() or [""]:
            yield [related or None, group.get("when"), group.get("related_pg_pin"), rise, fall]

    def table(self, group: Group, kind: str, unit: float) -> list[Any] | None:
        found = next(group.groups(kind), None)
        if found is None:
            return None
        template = self.templates.get(found.name) or Group("", "")
        values = [value * unit for value in self.numbers(found.get("values"), kind)]
        axes: dict[str, list[float]] = {"slew": [0.0], "load": [0.0]}
        order = []
        for index in (1, 2, 3):
            variable = template.get(f"variable_{index}")
            if variable is None:
                break
            points = self.numbers(found.get(f"index_{index}") or template.get(f"index_{index}"), kind)
            if any(after <= before for before, after in pairwise(points)):
                raise self.fault(f"index_{index} of {kind} does not rise: {', '.join(f'{x:g}' for x in points[:8])}")
            if variable in _SLEW_VARIABLES:
                axis, scale = "slew", self.units["ps"]
            elif variable in _LOAD_VARIABLES:
                axis, scale = "load", self.units["ps" if "transition" in variable else "ff"]
            else:
                raise self.fault(f"table {found.name!r} runs over {variable!r}, which is not supported")
            axes[axis] = [point * scale for point in points]
            order.append(axis)
        if len(values) != len(axes["slew"]) * len(axes["load"]):
            raise self.fault(
                f"{kind} ({found.name}) has {len(values)} values "
                f"for {len(axes['slew'])} slews x {len(axes['load'])} loads"
            )
        if order == ["load", "slew"]:
            rows = [values[i :: len(axes["slew"])] for i in range(len(axes["slew"]))]
        else:
            width = len(axes["load"])
            rows = [values[i : i + width] for i in range(0, len(values), width)]
        return [axes["slew"], axes["load"], rows]

    def numbers(self, text: str | None, kind: str) -> list[float]:
        """Numbers of a table's text; UserError for a word that is none."""
        try:
            return numbers(text or "")
        except ValueError as error:
            raise self.fault(f"{kind}: {error}") from None


def _flop(group: Group) -> list[Any]:
    names = [part.strip().strip('"') for part in group.arguments.split(",")]
    texts = [group.get(name) for name in ("clocked_on", "next_state", "clear", "preset")]
    return [names[0], names[1] if len(names) > 1 else "", texts[0] or "", texts[1] or "", texts[2], texts[3]]
