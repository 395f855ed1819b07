"""Several Liberty files of one corner as one library: ASAP7 comes as five, by kind of cell."""

from collections.abc import Sequence

from slipstick.errors import UserError

from .syntax import Attribute, Group, header, read, write

_TEMPLATES = ("lu_table_template", "power_lut_template", "output_current_template")
_DECIDING = ("type", "operating_conditions")
_SAME = (
    "time_unit", "voltage_unit", "current_unit", "leakage_power_unit", "capacitive_load_unit", "nom_voltage",
    "nom_temperature", "nom_process", "default_operating_conditions", "default_cell_leakage_power",
    "default_leakage_power_density", "default_input_pin_cap", "slew_derate_from_library", "bus_naming_style",
    *(f"{what}_threshold_pct_{edge}" for what in ("input", "output", "slew_lower", "slew_upper")
      for edge in ("rise", "fall")),
)  # fmt: skip


def merge(texts: Sequence[tuple[str, str]]) -> str:
    """One Liberty text of all cells of (name, text) pairs; what all files state comes from the first.

    Templates that have one name and differ are renamed; the comments before each library stay. UserError where units,
    corner, thresholds or defaults differ, for other groups of one name that differ (types of buses), and for a cell
    that stands in two files.
    """
    (first_name, first_text), *others = texts
    merged = read(first_text, first_name)
    origin = {cell.name: first_name for cell in merged.groups("cell")}
    for number, (name, text) in enumerate(others, 2):
        library = read(text, name)
        _check_same(merged, first_name, library, name)
        _add_templates(merged, library, f"_{number}")
        _add_others(merged, first_name, library, name)
        for cell in library.groups("cell"):
            if cell.name in origin:
                raise UserError(f"cell {cell.name!r} stands in {origin[cell.name]} and in {name}")
            origin[cell.name] = name
            merged.items.append(cell)
    return "".join(dict.fromkeys(header(text) for _, text in texts)) + write(merged)


def _check_same(first: Group, first_name: str, other: Group, name: str) -> None:
    for attribute in _SAME:
        here, there = (_plain(group.get(attribute)) for group in (first, other))
        if here != there:
            raise UserError(f"{first_name} and {name} differ in {attribute}: {here or 'none'} and {there or 'none'}")


def _plain(text: str | None) -> str | float:
    text = (text or "").replace('"', "").replace(" ", "").lower()
    try:
        return float(text)
    except ValueError:
        return text


def _add_templates(merged: Group, library: Group, mark: str) -> None:
    """Take over templates; those that clash get ``mark``, in their name and wherever ``library`` uses them."""
    known = {group.name: group for group in merged.groups(*_TEMPLATES)}
    renamed: dict[str, str] = {}
    for group in library.groups(*_TEMPLATES):
        if group.name in known and group.items == known[group.name].items:
            continue
        if group.name in known:
            renamed[group.name] = group.name + mark
            group = Group(group.kind, group.name + mark, group.items)
        merged.items.insert(0, group)
    if renamed:
        for cell in library.groups("cell"):
            _rename(cell, renamed)


def _add_others(merged: Group, first_name: str, library: Group, name: str) -> None:
    """Take over groups (types of buses, voltages) and calls (``define``, ``voltage_map``) that the first lacks."""
    known = {(one.kind, one.name): one for one in merged.items if isinstance(one, Group)}
    for item in reversed(library.items):  # each goes to the front
        if isinstance(item, Attribute):
            if item.is_call and item not in merged.items:
                merged.items.insert(0, item)
        elif item.kind not in ("cell", *_TEMPLATES):
            other = known.get((item.kind, item.name))
            if other is None:
                merged.items.insert(0, item)
            elif item.kind in _DECIDING and item.items != other.items:
                raise UserError(f"{first_name} and {name} differ in {item.kind} ({item.name})")


def _rename(group: Group, names: dict[str, str]) -> None:
    for item in group.items:
        if not isinstance(item, Attribute):
            if any(isinstance(one, Attribute) and one.name == "values" for one in item.items):
                item.arguments = names.get(item.name, item.arguments)
            _rename(item, names)
