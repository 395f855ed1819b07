"""Structural and behavioural Verilog to a netlist, through Yosys in a child process."""

import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slipstick.errors import UserError
from slipstick.flow import yosys

from .forms import Form, check_widths
from .gates import to_netlist
from .verilog_text import Sources, choose_top, load_sources

TIMEOUT_S = 60
MEMORY_BYTES = 2 << 30
_STATE = re.compile(r"\$_?(a?(?:dff|ff|sdff)|dlatch|sr|adlatch)", re.I)


def read_verilog(
    paths: Sequence[Path],
    *,
    top: str | None = None,
    a: str | None = None,
    w: str | None = None,
    product: str | None = None,
) -> Form:
    """Read the multiplier that Verilog files describe; ``a``, ``w``, ``product`` name ports where their order does not.

    UserError says in one line what is wrong: with the text, the ports, or a circuit that is no combinational
    multiplier.
    """
    sources = load_sources(paths)
    top = choose_top(sources, top)
    what = f"{paths[0]}: module {top!r}"
    with tempfile.TemporaryDirectory(prefix="slipstick-import-") as name:
        folder = Path(name)
        for file, text in sources.texts.items():
            (folder / file).write_text(text)
        done = yosys.run(folder, _script(sources, top), timeout_s=TIMEOUT_S, memory_bytes=MEMORY_BYTES)
        words = _module(folder / "words.json", top)
        if words:
            ports = _ports(words, what, a, w, product)
            _check_combinational(words, done.log, what)
        gates = _module(folder / "gates.json", top)
    if not words or not gates or done.code != 0:
        raise UserError(_complaint(done, sources, what))
    a_nets, w_nets, product_nets = (gates["ports"][port]["bits"] for port in ports)
    netlist = to_netlist(gates["cells"], a_nets, w_nets, product_nets, what)
    signed = [bool(words["ports"][port].get("signed")) for port in ports[:2]]
    return Form(
        paths[0].name,
        netlist.widths,
        netlist.evaluate,
        signed=True if all(signed) else None,
        netlist=netlist,
        name=top,
        notes=(f"operand a is {ports[0]}, operand w is {ports[1]}",),
    )


def _script(sources: Sources, top: str) -> str:
    return "\n".join([
        *(f"read_verilog{' -sv' if root.endswith('.sv') else ''} {root}" for root in sources.roots),
        f"hierarchy -check -top {top}",
        "proc -norom",
        "setattr -mod -unset keep_hierarchy",
        "setattr -unset keep_hierarchy",
        "flatten -noscopeinfo",
        "check",
        "write_json words.json",
        "opt -keepdc",
        "alumacc",
        "opt -keepdc",
        "techmap",
        "simplemap",
        "opt -keepdc",
        "clean",
        "write_json gates.json",
    ])  # fmt: skip


def _module(path: Path, top: str) -> dict[str, Any] | None:
    """The top module of a Yosys JSON file, None where Yosys did not get that far."""
    try:
        return json.loads(path.read_text())["modules"].get(top)
    except (OSError, ValueError):
        return None


def _ports(module: dict[str, Any], what: str, *names: str | None) -> list[str]:
    """Port names of a, w and the product: by name where given, else by letter (A and B, a and w) or as ordered."""
    by_direction: dict[str, list[str]] = {"input": [], "output": [], "inout": []}
    for port, one in module["ports"].items():
        by_direction[one["direction"]].append(port)
    width = {port: len(one["bits"]) for port, one in module["ports"].items()}
    inputs, outputs = by_direction["input"], by_direction["output"]
    if all(len(port) == 1 for port in inputs):
        inputs = sorted(inputs)
    if len(inputs) != 2 or len(outputs) != 1 or by_direction["inout"]:
        listed = ", ".join(f"{one['direction']} {port}[{width[port]}]" for port, one in module["ports"].items())
        raise UserError(f"{what} must have two inputs and one output; it has {listed or 'no ports'}")
    for name, choices, option in zip(names, (inputs, inputs, outputs), ("--a", "--w", "--product"), strict=True):
        if name is not None and name not in choices:
            raise UserError(f"{option} {name!r} is no such port of {what}; choose from {', '.join(choices)}")
    a, w, _ = names
    if a is not None and a == w:
        raise UserError(f"--a and --w are both {a!r}; name two ports")
    a = a or next(port for port in inputs if port != w)
    w = w or next(port for port in inputs if port != a)
    check_widths((width[a], width[w]), what)
    if width[outputs[0]] != width[a] + width[w]:
        raise UserError(
            f"{what} has a product of {width[outputs[0]]} bits; "
            f"operands of {width[a]} and {width[w]} bits need {width[a] + width[w]}"
        )
    return [a, w, outputs[0]]


def _check_combinational(module: dict[str, Any], log: str, what: str) -> None:
    """UserError for anything with state, several drivers or a loop, before optimisation can hide it."""
    for cell in module["cells"].values():
        kind = cell["type"]
        state = None
        if _STATE.match(kind):
            state = "a latch: give every output a value on every path" if "latch" in kind else "a flip-flop"
        elif kind.startswith("$mem"):
            state = "a memory: describe it as logic, or import its table"
        elif kind.startswith("$tribuf"):
            state = "a tri-state buffer"
        elif not kind.startswith("$"):
            state = f"a black box, {kind!r}: give the file that defines it"
        if state:
            raise UserError(f"{what} is no combinational multiplier: it has {state}")
    if re.search(r"multiple conflicting drivers", log):
        raise UserError(f"{what} drives a net twice")
    if re.search(r"found logic loop", log):
        raise UserError(f"{what} has a combinational loop; a cell must not feed back")


def _complaint(done: yosys.Run, sources: Sources, what: str) -> str:
    """What Yosys said, in one line, about the user's files."""
    if isinstance(done.code, str):
        return f"{what} is too large or unrolls without end (Yosys was {done.code}); give gates, or import its table"
    found = re.findall(r"^(?:(source\d+\.s?v):(\d+)[-.\d]*: )?ERROR: ?(.*)", done.log, re.M)
    if not found:
        return f"{what} is no small cell: Yosys needs more than {MEMORY_BYTES >> 30} GB (exit code {done.code})"
    file, line, words = found[-1]
    where = f"{sources.origins[file]}:{line}" if file in sources.origins else what
    return f"{where}: Yosys says: {words.replace(chr(92), '').rstrip()[:300]}"
