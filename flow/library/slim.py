"""A Liberty library cut down to what mapping, delay and power estimation use."""

import gzip
from pathlib import Path

from slipstick.files import write_whole

from .reader import library_model, usable
from .syntax import Attribute, Group, header, numbers, read, write

_CELL_ATTRIBUTES = ("area", "cell_leakage_power", "dont_use", "clock_gating_integrated_cell")
_PIN_ATTRIBUTES = (
    "direction", "function", "clock", "capacitance", "rise_capacitance", "fall_capacitance", "max_capacitance",
    "state_function", "internal_node", "clock_gate_clock_pin", "clock_gate_enable_pin", "clock_gate_out_pin",
)  # fmt: skip
_ARC_ATTRIBUTES = (
    "related_pin", "related_pg_pin", "power_level", "timing_sense", "timing_type", "when", "value", "clocked_on",
    "next_state", "clear", "preset", "clear_preset_var1", "clear_preset_var2", "index_1", "index_2", "values", "table",
)  # fmt: skip
_DROPPED_GROUPS = ("wire_load", "wire_load_selection", "wire_load_table")
PLAIN_GATE = "latch_posedge"
"""Liberty's name of a clock gate that opens while the clock is low and has no test pin."""
_CONSTRAINTS = ("hold", "recovery", "removal", "min_", "skew", "nochange", "non_seq")
_DELAY_CELLS = ("dly", "delay")
_NOTICE = "/* Changed by slipstick: cells, constraints and digits were dropped; see flow/library/slim.py. */\n"


def slim(text: str, name: str = "Liberty text") -> str:
    """The library with the cells that mapping uses, tables to four significant digits.

    Kept: combinational cells and plain D flip-flops (inverting ones too) that can be used and are not marked
    ``dont_use``, and clock gates for rising edges without a test pin, marked or not: tools place these alone. All with
    timing, setup, internal power and leakage. Dropped: latches, scan cells, other clock gates, three-state, tie, fill,
    antenna and delay cells, hold and pulse-width constraints, wire loads. Four digits change
    power by less than 2e-5. The file's leading comments, which hold its licence, stay. Raises UserError when the text
    is not Liberty.
    """
    library = read(text, name)
    library = usable(library, library_model(library, name))
    kept: list[Attribute | Group] = []
    for item in library.items:
        if isinstance(item, Group) and item.kind == "cell":
            if _is_used(item):
                kept.append(_slim_cell(item))
        elif isinstance(item, Group):
            if item.kind not in _DROPPED_GROUPS:
                kept.append(item)
        elif "wire_load" not in item.name:
            kept.append(item)
    return header(text).replace(_NOTICE, "") + _NOTICE + write(Group(library.kind, library.arguments, kept))


def write_slim(text: str, path: Path, name: str = "Liberty text") -> None:
    """Write the slimmed library as gzip with no time stamp, so that equal input gives equal bytes."""
    data = gzip.compress(slim(text, name).encode(), 9, mtime=0)
    write_whole(path, lambda file: file.write_bytes(data))


def _is_used(cell: Group) -> bool:
    if any(word in cell.name.lower() for word in _DELAY_CELLS):
        return False
    if gate := cell.get("clock_gating_integrated_cell"):
        return gate == PLAIN_GATE
    if cell.get("dont_use") == "true" or any(True for _ in cell.groups("latch", "statetable", "test_cell", "ff_bank")):
        return False
    pins = list(cell.groups("pin"))
    outputs = [pin for pin in pins if pin.get("direction") == "output"]
    inputs = [pin for pin in pins if pin.get("direction") == "input"]
    if not outputs or not inputs or any(pin.get("three_state") or not pin.get("function") for pin in outputs):
        return False
    flop = next(cell.groups("ff"), None)
    return flop is None or (flop.get("next_state") or "").strip("!'() ") in {pin.name for pin in inputs}


def _slim_cell(cell: Group) -> Group:
    return _keep(cell, {"": _CELL_ATTRIBUTES, "pin": _PIN_ATTRIBUTES})


def _keep(group: Group, attributes: dict[str, tuple[str, ...]]) -> Group:
    wanted = attributes.get("" if group.kind == "cell" else group.kind, _ARC_ATTRIBUTES)
    items: list[Attribute | Group] = []
    for item in group.items:
        if isinstance(item, Group):
            if not (item.kind == "timing" and (item.get("timing_type") or "").startswith(_CONSTRAINTS)):
                items.append(_keep(item, attributes))
        elif item.name in wanted or _moves_capacitance(item, group):
            items.append(Attribute(item.name, _rounded(item), item.is_call))
    return Group(group.kind, group.arguments, items)


def _moves_capacitance(item: Attribute, pin: Group) -> bool:
    """Whether an attribute is a range of capacitance that ends elsewhere than the capacitance itself."""
    edge = item.name.removesuffix("_capacitance_range")
    if edge == item.name:
        return False
    plain = pin.get(f"{edge}_capacitance") or pin.get("capacitance")
    return plain is None or numbers(item.text)[-1:] != numbers(plain)


def _rounded(item: Attribute) -> str:
    """Numbers of an attribute to four significant digits; other texts unchanged."""
    if item.name in ("index_1", "index_2"):
        return '"' + ", ".join(f"{value:.10g}" for value in numbers(item.text)) + '"'
    if item.name == "values":
        rows = [row for row in item.text.split('"') if any(character.isdigit() for character in row)]
        return ", ".join('"' + ", ".join(f"{value:.4g}" for value in numbers(row)) + '"' for row in rows)
    try:
        return f"{float(item.text.strip().strip(chr(34))):.6g}"
    except ValueError:
        return item.text
