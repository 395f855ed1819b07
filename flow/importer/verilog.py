"""Structural and behavioural Verilog to a netlist, through Yosys in a child process."""

import json
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipstick.errors import UserError
from slipstick.flow import yosys
from slipstick.flow.library.liberty import read_text as read_liberty

from .forms import Form, check_widths
from .gates import to_netlist
from .hierarchy import choose_top, texts_of
from .verilog_text import Sources, load_sources

TIMEOUT_S = 60
MEMORY_BYTES = 2 << 30
_PARAMETER = re.compile(r"[A-Za-z_]\w*=(?:-?\d+|\d*'[sS]?[bodhBODH][0-9a-fA-F_]+)", re.ASCII)
_DEFINE = re.compile(r"[A-Za-z_]\w*(?:=[\w'.+-]*)?", re.ASCII)
_TIE = re.compile(r"[A-Za-z_]\w*=\d{1,4}", re.ASCII)
_CLOCK = re.compile(r"(?:i_|io_)?(?:clk|clock|ck|aclk|clk_i|clk_in)", re.I)
_STATE = re.compile(r"\$_?(a?(?:dff|ff|sdff)|dlatch|sr|adlatch)", re.I)


@dataclass(frozen=True)
class Elaboration:
    """How Verilog is to be read, as a user words it; UserError for words that are none of these.

    ``parameters`` of the top module as ``W=8``, macros as ``NAME`` or ``NAME=VALUE``, folders of includes, Liberty
    files that define cells, and inputs that are constant as ``enable=1``.
    """

    parameters: tuple[str, ...] = ()
    defines: tuple[str, ...] = ()
    includes: tuple[Path, ...] = ()
    liberty: tuple[Path, ...] = ()
    ties: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for option, words, form, example in (
            ("--param", self.parameters, _PARAMETER, "W=8"), ("--define", self.defines, _DEFINE, "WIDTH=8"),
            ("--tie", self.ties, _TIE, "enable=1"),
        ):  # fmt: skip
            for word in words:
                if not form.fullmatch(word):
                    raise UserError(f"{option} {word!r}: give it as in {option} {example}")
        for folder in self.includes:
            if not folder.is_dir():
                raise UserError(f"-I {folder}: no such folder")


def read_verilog(
    paths: Sequence[Path],
    *,
    top: str | None = None,
    a: str | None = None,
    w: str | None = None,
    product: str | None = None,
    elaboration: Elaboration | None = None,
) -> Form:
    """Read the multiplier that Verilog files describe; ``a``, ``w``, ``product`` name ports where their order does not.

    UserError says in one line what is wrong: with the text, the ports, or a circuit that is no combinational
    multiplier.
    """
    how = elaboration or Elaboration()
    sources = load_sources(paths, how.defines, how.includes)
    top = choose_top(sources, top)
    what = f"{sources.units[top].path}: module {top!r}"
    with tempfile.TemporaryDirectory(prefix="slipstick-import-") as name:
        folder = Path(name)
        for file, text in texts_of(sources, top).items():
            (folder / file).write_text(text)
        for number, library in enumerate(how.liberty):
            (folder / f"library{number}.lib").write_text(read_liberty(library))
        for system_verilog in (False, True):
            script = _script(sources, top, how, system_verilog)
            done = yosys.run(folder, script, timeout_s=TIMEOUT_S, memory_bytes=MEMORY_BYTES)
            if done.code == 0 or "syntax error" not in done.log:
                break
        words = _module(folder / "words.json", top)
        if words:
            ties = _ties(words, how.ties, what)
            ports = _ports(words, what, set(ties), a, w, product)
            _check_combinational(words, done.log, what)
        gates = _module(folder / "gates.json", top)
    if not words or not gates or done.code != 0:
        raise UserError(_complaint(done, sources, what))
    a_nets, w_nets, product_nets = (gates["ports"][port]["bits"] for port in ports)
    nets = {port: enumerate(gates["ports"][port]["bits"]) for port in ties}
    tied = {net: value >> bit & 1 for port, value in ties.items() for bit, net in nets[port]}
    netlist = to_netlist(gates["cells"], a_nets, w_nets, product_nets, what, tied)
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


def _script(sources: Sources, top: str, how: Elaboration, system_verilog: bool) -> str:
    defines = "".join(f" -D{define}" for define in how.defines)
    parameters = "".join(f" -chparam {one.replace('=', ' ')}" for one in how.parameters)
    return "\n".join([
        *(f"read_verilog{' -sv' if system_verilog or root.endswith('.sv') else ''}{defines} {root}"
          for root in sources.roots),
        *(f"read_liberty -nooverwrite -ignore_miss_func library{number}.lib" for number in range(len(how.liberty))),
        f"hierarchy -check -top {top}{parameters}",
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


def _ties(module: dict[str, Any], words: Sequence[str], what: str) -> dict[str, int]:
    """Inputs that are constant; UserError for a port that is no input, or a value that it does not hold."""
    ties = {}
    for name, _, value in (word.partition("=") for word in words):
        port = module["ports"].get(name)
        if port is None or port["direction"] != "input":
            raise UserError(f"--tie {name!r} is no input of {what}; it has {_listed(module)}")
        if int(value) >> len(port["bits"]):
            raise UserError(f"--tie {name}={value}: {name} has {len(port['bits'])} bits")
        ties[name] = int(value)
    return ties


def _listed(module: dict[str, Any]) -> str:
    ports = module["ports"].items()
    return ", ".join(f"{one['direction']} {port}[{len(one['bits'])}]" for port, one in ports) or "no ports"


def _ports(module: dict[str, Any], what: str, tied: set[str], *names: str | None) -> list[str]:
    """Port names of a, w and the product: by name where given, else by letter (A and B, a and w) or as ordered."""
    by_direction: dict[str, list[str]] = {"input": [], "output": [], "inout": []}
    for port, one in module["ports"].items():
        if port not in tied:
            by_direction[one["direction"]].append(port)
    width = {port: len(one["bits"]) for port, one in module["ports"].items()}
    inputs, outputs = by_direction["input"], by_direction["output"]
    if all(len(port) == 1 for port in inputs):
        inputs = sorted(inputs)
    for name, choices, option in zip(names, (inputs, inputs, outputs), ("--a", "--w", "--product"), strict=True):
        if name is not None and name not in choices:
            raise UserError(f"{option} {name!r} is no such port of {what}; choose from {', '.join(choices)}")
    a, w, product = names
    if len(inputs) != 2 or not (product or len(outputs) == 1) or by_direction["inout"]:
        advice = _advice(inputs, outputs, by_direction["inout"], {a, w}, width)
        raise UserError(f"{what} must have two inputs and one output; it has {_listed(module)}{advice}")
    if a is not None and a == w:
        raise UserError(f"--a and --w are both {a!r}; name two ports")
    a = a or next(port for port in inputs if port != w)
    w = w or next(port for port in inputs if port != a)
    product = product or outputs[0]
    check_widths((width[a], width[w]), what)
    wanted, found = width[a] + width[w], width[product]
    if found != wanted:
        sign = f"{wanted - found}{{q[{found - 1}]}}"
        fix = f"q[{wanted - 1}:0]" if found > wanted else f"{{{{{sign}}}, q}} for a signed q"
        raise UserError(
            f"{what} has a product of {found} bits; operands of {width[a]} and {width[w]} bits need {wanted}: write a "
            f"module around it with output [{wanted - 1}:0] p and assign p = {fix}, and choose that with --top"
        )
    return [a, w, product]


def _advice(
    inputs: list[str], outputs: list[str], inouts: list[str], named: set[str | None], width: dict[str, int]
) -> str:
    """What would make two inputs and one output of a module's ports, in words."""
    clocks = [port for port in inputs if _CLOCK.fullmatch(port)]
    if clocks:
        return f"; {clocks[0]!r} looks like a clock: a cell has no registers; import the logic between them, by --top"
    operands = {port for port in named if port} or set(sorted(inputs, key=lambda port: -width[port])[:2])
    extra = [port for port in inputs if port not in operands]
    if len(inputs) > 2 and len(extra) == len(inputs) - 2:
        return f"; make the others constant, as in {' '.join(f'--tie {port}=1' for port in extra)}"
    if len(inputs) == 2 and len(outputs) > 1 and not inouts:
        widest = max(outputs, key=lambda port: width[port])
        return f"; name the one that counts, as in --product {widest}"
    return "; write a module around it that has, and choose that with --top"


def _check_combinational(module: dict[str, Any], log: str, what: str) -> None:
    """UserError for anything with state, several drivers or a loop, before optimisation can hide it."""
    for cell in module["cells"].values():
        kind = cell["type"]
        state = None
        if _STATE.match(kind):
            state = "a latch: give every output a value on every path" if "latch" in kind else (
                "a flip-flop: import the module between the registers, with --top, or its table")  # fmt: skip
        elif kind.startswith("$mem"):
            state = "a memory: describe it as logic, or import its table"
        elif kind.startswith("$tribuf"):
            state = "a tri-state buffer: use a multiplexer"
        elif not kind.startswith("$"):
            state = f"a black box, {kind!r}: give the file that defines it, or its Liberty file with --liberty"
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
    if "is not part of the design" in words:
        words += " Give the file that defines it, or its Liberty file with --liberty."
    return f"{where}: Yosys says: {words.replace(chr(92), '').rstrip()[:300]}"
