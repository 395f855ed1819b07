"""State of Liberty cells: flip-flops, latches and clock gates, as plain JSON."""

from typing import Any

from slipstick.errors import UserError

from .syntax import Group

Pins = dict[str, Group]


def state(cell: Group, pins: Pins) -> dict[str, Any]:
    """``flop`` or ``latch`` as [state, inverse, clock or enable, data, clear, preset, both], and ``opaque``.

    A clock gate with an integrated latch is a latch before a gate: its state is that of its internal pin. Opaque is
    state of other kinds: banks and tables of states.
    """
    found: dict[str, Any] = {"flop": None, "latch": None, "clock_gate": None, "opaque": False, "functions": {}}
    banks = cell.groups("ff", "latch", "ff_bank", "latch_bank", "statetable")
    found["names"] = [name for one in banks for text in _names(one) for name in text.split()]
    for kind, texts in (("ff", ("clocked_on", "next_state")), ("latch", ("enable", "data_in"))):
        groups = list(cell.groups(kind))
        if len(groups) > 1 or (groups and groups[0].get("clocked_on_also")):
            found["opaque"] = True
        elif groups:
            found["flop" if kind == "ff" else "latch"] = _element(groups[0], texts)
    gate = cell.get("clock_gating_integrated_cell")
    if gate and not found["flop"] and not found["latch"]:
        found |= _clock_gate(gate, pins)
    elif any(True for _ in cell.groups("statetable", "ff_bank", "latch_bank")) or (found["flop"] and found["latch"]):
        found["opaque"] = True
    return found


def _names(group: Group) -> list[str]:
    return [part.strip().strip('"').strip() for part in group.arguments.split(",")]


def _element(group: Group, texts: tuple[str, str]) -> list[Any]:
    names = _names(group)
    first, second = (group.get(name) or "" for name in texts)
    if not names[0] or (texts[0] == "clocked_on" and not (first and second)):
        raise UserError(f"its {group.kind} group lacks {texts[0] if not first else texts[1]} or the name of a state")
    both = (group.get("clear_preset_var1") or "L").upper()
    return [names[0], names[1] if len(names) > 1 else "", first, second, group.get("clear"), group.get("preset"), both]


def _clock_gate(kind: str, pins: Pins) -> dict[str, Any]:
    """A gate such as "latch_posedge_precontrol" from the roles of its pins."""
    roles: dict[str, str] = {}
    for name, one in pins.items():
        for role in ("clock", "enable", "test", "out"):
            if one.get(f"clock_gate_{role}_pin") == "true":
                roles[role] = name
    if not kind.startswith(("latch_posedge", "latch_negedge")) or not {"clock", "enable", "out"} <= set(roles):
        return {"opaque": True}
    rising = kind.startswith("latch_posedge")
    internal = next((name for name, one in pins.items() if one.get("direction") == "internal"), "enabled")
    clock, enable = roles["clock"], roles["enable"]
    test = f" | {roles['test']}" if "test" in roles else ""
    data = f"{enable}{test if 'precontrol' in kind else ''}"
    passes = f"({internal}{test if 'postcontrol' in kind else ''})"
    function = f"{clock} & {passes}" if rising else f"{clock} | !{passes}"
    return {
        "latch": [internal, "", f"!{clock}" if rising else clock, data, None, None, "L"],
        "clock_gate": kind,
        "functions": {roles["out"]: function},
    }
