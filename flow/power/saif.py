"""SAIF, the Switching Activity Interchange Format: activity to other tools, and theirs to ours.

A net stands once under NET of the module, and every pin of an instance under NET of that instance: the
latter is where OpenSTA looks. T0 and T1 are times at 0 and 1, TC transitions, glitches included.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from slipstick.errors import UserError
from slipstick.files import write_text

from .activity import Activity
from .annotation import MINIMUM_COVERAGE, TIME_PS, Annotation
from .gates import MappedNetlist
from .netlist_verilog import netlist_verilog

_TOKEN = re.compile(r'\s*(?:(?P<mark>[()])|"(?P<quoted>[^"]*)"|(?P<word>[^\s()"]+))')
Tree = list[Any]
"""Texts and trees."""


def write_saif(activity: Activity, path: Path, clock_ps: float) -> None:
    """Write the counted cycles of an activity, each of ``clock_ps``, with the names of ``netlist_verilog``."""
    netlist = activity.netlist
    verilog, period = netlist_verilog(netlist), max(1, round(clock_ps))
    duration = activity.cycles * period
    toggles = activity.toggles.copy()
    toggles[activity.ruled_nets] = 2 * activity.cycles
    high = np.rint(activity.probability * duration).astype(np.int64)

    def entry(name: str, net: int) -> str:
        escaped = re.sub(r"([\[\]])", r"\\\1", name)
        return f"({escaped} (T0 {duration - high[net]}) (T1 {high[net]}) (TX 0) (TC {toggles[net]}) (IG 0))"

    lines = [
        "(SAIFILE", '(SAIFVERSION "2.0")', '(DIRECTION "backward")', f'(DESIGN "{netlist.top}")',
        '(PROGRAM_NAME "slipstick")', "(DIVIDER / )", "(TIMESCALE 1 ps)", f"(DURATION {duration})",
        f"(INSTANCE {netlist.top}", "(NET",
        *(entry(verilog.nets[net], net) for net in range(2, netlist.net_count)), ")",
    ]  # fmt: skip
    for name, instance in zip(verilog.instances, netlist.instances, strict=True):
        pins = (entry(pin, net) for pin, net in instance.nets.items())
        lines += [f"(INSTANCE {name}", "(NET", *pins, ")", ")"]
    text = "\n".join([*lines, ")", ")", ""])
    write_text(path, text)


def read_saif(
    path: Path,
    netlist: MappedNetlist,
    clock_ps: float,
    *,
    instance: str | None = None,
    minimum: float = MINIMUM_COVERAGE,
) -> Annotation:
    """Activity of a mapped netlist from a SAIF file that uses the names of ``netlist_verilog``.

    ``instance`` is the path of the netlist in the file, such as ``bench/dut``; by default the outermost. UserError
    for a file that is cut or no SAIF, an unknown instance, and below ``minimum`` of the nets covered.
    """
    root = _tree(path)
    head = {str(item[0]): item[1:] for item in root if isinstance(item, list) and item}
    try:
        duration = float(str(head["DURATION"][0]))
        number = re.fullmatch(r"([\d.]+)(\w+)", "".join(head["TIMESCALE"]))
        assert number
        cycles = duration * float(number[1]) * TIME_PS[number[2]] / clock_ps
        assert cycles > 0
    except (KeyError, ValueError, IndexError, AssertionError):
        raise UserError(f"{path} is not a SAIF file with a TIMESCALE and a DURATION above 0") from None
    tops = [item for item in root if isinstance(item, list) and item[:1] == ["INSTANCE"]]
    inside = _find(tops, instance, path)
    return Annotation.of(netlist, _activities(inside, netlist, cycles, path), str(path), minimum)


def _activities(inside: Tree, netlist: MappedNetlist, cycles: float, path: Path) -> Iterator[tuple[int, float, float]]:
    verilog = netlist_verilog(netlist)
    nets = {name: net for net, name in enumerate(verilog.nets) if net > 1}
    pins = dict(zip(verilog.instances, netlist.instances, strict=True))
    yield from _entries(inside, nets, cycles, path)
    for item in inside:
        if isinstance(item, list) and item[:1] == ["INSTANCE"] and item[1] in pins:
            yield from _entries(
                item, {pin: net for pin, net in pins[str(item[1])].nets.items() if net > 1}, cycles, path
            )


def _entries(inside: Tree, nets: dict[str, int], cycles: float, path: Path) -> Iterator[tuple[int, float, float]]:
    for block in inside:
        if isinstance(block, list) and block[:1] == ["NET"]:
            for entry in block[1:]:
                name = str(entry[0]).replace("\\", "") if isinstance(entry, list) else ""
                if name not in nets:
                    continue
                try:
                    times = {str(kind): float(value) for kind, value in entry[1:]}
                    known = times["T0"] + times["T1"]
                    yield nets[name], times["TC"] / cycles, times["T1"] / known if known else 0.0
                except (KeyError, ValueError, TypeError):
                    raise UserError(f"{path}: {name!r} lacks one of T0, T1 and TC") from None


def _find(tops: list[Tree], instance: str | None, path: Path) -> Tree:
    if not tops:
        raise UserError(f"{path} holds no INSTANCE")
    if instance is None:
        return tops[0]
    level: list[Tree] = tops
    for part in instance.split("/"):
        names = {str(item[1]): item for item in level if len(item) > 1}
        if part not in names:
            raise UserError(f"{path} has no instance {part!r} of {instance!r}; there: {', '.join(sorted(names)[:8])}")
        found = names[part]
        level = [item for item in found if isinstance(item, list) and item[:1] == ["INSTANCE"]]
    return found


def _tree(path: Path) -> Tree:
    """The SAIFILE group as nested lists; the text is data, never a command."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {getattr(error, 'strerror', None) or 'it holds no text'}") from error
    stack: list[Tree] = [[]]
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if not match:
            raise UserError(f"{path} is not a SAIF file: {text[position : position + 30]!r} cannot be read")
        position = match.end()
        if match["mark"] == "(":
            inner: Tree = []
            stack[-1].append(inner)
            stack.append(inner)
        elif match["mark"] == ")":
            if len(stack) == 1:
                raise UserError(f"{path} is not a SAIF file: a bracket closes that is not open")
            stack.pop()
        else:
            stack[-1].append(match["quoted"] if match["quoted"] is not None else match["word"])
    if len(stack) > 1 or not stack[0] or not isinstance(stack[0][0], list) or stack[0][0][:1] != ["SAIFILE"]:
        raise UserError(
            f"{path} is not a whole SAIF file: {'it ends too early' if len(stack) > 1 else 'no SAIFILE group'}"
        )
    return stack[0][0]
