"""Several Liberty files of one corner as one library: ASAP7 comes as five, by kind of cell."""

from collections.abc import Sequence

from slipstick.errors import UserError

from .syntax import Attribute, Group, read, write

_TEMPLATES = ("lu_table_template", "power_lut_template", "output_current_template")
_SAME = (
    "time_unit", "voltage_unit", "current_unit", "leakage_power_unit", "capacitive_load_unit", "nom_voltage",
    "nom_temperature", "nom_process",
)  # fmt: skip


def merge(texts: Sequence[tuple[str, str]]) -> str:
    """One Liberty text of all cells of (name, text) pairs; what is not a cell or template comes from the first.

    Templates that have one name and differ are renamed. UserError where units or corner differ, and for a cell that
    stands in two files.
    """
    (first_name, first_text), *others = texts
    merged = read(first_text, first_name)
    origin = {cell.name: first_name for cell in merged.groups("cell")}
    for number, (name, text) in enumerate(others, 2):
        library = read(text, name)
        _check_same(merged, first_name, library, name)
        _add_templates(merged, library, f"_{number}")
        for cell in library.groups("cell"):
            if cell.name in origin:
                raise UserError(f"cell {cell.name!r} stands in {origin[cell.name]} and in {name}")
            origin[cell.name] = name
            merged.items.append(cell)
    return write(merged)


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


def _rename(group: Group, names: dict[str, str]) -> None:
    for item in group.items:
        if not isinstance(item, Attribute):
            if any(isinstance(one, Attribute) and one.name == "values" for one in item.items):
                item.arguments = names.get(item.name, item.arguments)
            _rename(item, names)
