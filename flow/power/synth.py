"""Verilog to a netlist of library cells: Yosys and ABC, always in a fresh process, kept by content.

Yosys ends its process on an error, and what it did before changes what it does next; so every design
gets a process of its own, which makes results repeatable and errors catchable. Differences of 1 to 4 %
between equal designs are naming noise of ABC, not a result.
"""

import importlib.metadata
import json
import re
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

from slipstick.errors import ToolNotFound, UserError
from slipstick.flow import yosys
from slipstick.flow.library.boolean import NOT, parse
from slipstick.flow.library.cell import LibertyCell
from slipstick.flow.library.liberty import Liberty
from slipstick.flow.library.slim import PLAIN_GATE
from slipstick.sources import code_digest
from slipstick.store import Store, digest

OUTPUT_LOAD_FF = 10.0
"""Load that ABC assumes at every output of a module: about two or three input pins of SG13G2."""
TIMEOUT_S = 600
LEAST_GATED = 4
"""Bits of a register from which on a clock gate takes less than its flip-flops' clock pins and multiplexers."""
COVER = "+strash;&get,-n;&nf,{D};&put;topo;buffer,-N,24,-G,1000;upsize,{D};dnsize,{D};stime,-p"
"""ABC's commands that cover gates with cells and size these for the clock. Yosys' own commands balance and rewrite
the gates first, which takes an adder tree apart: 5 % more energy, 17 % with glitches."""


class SynthesisError(UserError):
    """Yosys or ABC failed; the message is one line with what they complained of, ``log`` the end of theirs."""

    def __init__(self, problem: str, run: yosys.Run | None = None) -> None:
        self.log = run.tail if run else ""
        super().__init__(f"{problem} (exit code {run.code}): {_complaints(run.log)}" if run else problem)


def _complaints(log: str) -> str:
    """The errors in a log, the cause before what follows from it; its last line where there are none."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"\b(ERROR|Error|error):", line)]
    causes = [line for line in errors if "Can't open ABC output file" not in line]  # ABC said why
    return "; ".join((causes or errors or lines[-1:] or ["no message"])[:3])


@dataclass(frozen=True)
class Synthesis:
    """A mapped design: ``netlist`` is one flat module (ports, cells, nets) of Yosys' JSON.

    ``delay_ps`` is ABC's longest register-to-register or port-to-port path, without clock-to-output and
    setup time; None where the library has no buffer to stand for the drivers. ``key`` is the digest of
    everything that decided the result.
    """

    top: str
    area_um2: float
    sequential_area_um2: float
    delay_ps: float | None
    cells_by_type: dict[str, int]
    netlist: dict[str, Any] = field(repr=False)
    log: str = field(repr=False)
    tools: str = ""
    key: str = ""

    def __hash__(self) -> int:
        return hash(self.key)

    @property
    def gate_count(self) -> int:
        """Library cells, flip-flops included."""
        return sum(self.cells_by_type.values())


@dataclass(frozen=True)
class Design:
    """What ``synthesise`` needs for one module of a Verilog text."""

    name: str
    verilog: str = field(repr=False)
    top: str
    booth: bool = False
    alumacc: bool = False
    gated: bool = False
    structural: bool = False


@cache
def tool_versions() -> str:
    """Name and version of the synthesis tool, such as ``pyosys 0.70``; ToolNotFound says how to get it."""
    try:
        return f"pyosys {importlib.metadata.version('pyosys')}"
    except importlib.metadata.PackageNotFoundError:
        raise ToolNotFound("synthesis needs Yosys: pip install pyosys") from None


def synthesise(
    verilog: str,
    top: str,
    liberty: Liberty,
    *,
    clock_ps: float,
    booth: bool = False,
    alumacc: bool = False,
    gated: bool = False,
    structural: bool = False,
    store: Store | None = None,
) -> Synthesis:
    """Map module ``top`` of a Verilog text to ``liberty`` for a clock period.

    ``booth`` builds ``*`` as Booth multipliers, ``alumacc`` lets Yosys merge multiplications and sums
    first (its default, 25 % larger here). ``gated`` gives registers of at least LEAST_GATED bits with one enable a
    clock gate, where the library has one. ``structural`` covers the gates as they are drawn, where ABC would
    otherwise restructure them: an adder tree keeps its order. The text may place cells of the library itself, and
    modules that it marks as black boxes. Kept by content: a second call takes milliseconds. Raises UserError for a
    library that nothing can be mapped to,
    SynthesisError with what Yosys said, ToolNotFound without Yosys.
    """
    _check_gates(liberty)
    script = _script(top, liberty, clock_ps, booth=booth, alumacc=alumacc, gated=gated, structural=structural)
    if _names_cells(verilog, liberty):
        script = f"read_liberty -lib -ignore_miss_func library.lib\n{script}"
    constraints = _constraints(liberty)
    tools = tool_versions()
    key = digest(verilog, liberty.digest, script, constraints, tools, code_digest(__name__))

    def compute() -> dict[str, Any]:
        return _run(verilog, top, liberty.text, script, constraints)

    return Synthesis(**(store or Store("synth")).json(key, compute), tools=tools, key=key)


def synthesise_all(
    designs: Iterable[Design],
    liberty: Liberty,
    *,
    clock_ps: float,
    total: int | None = None,
    workers: int = 2,
    progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, Synthesis]:
    """Map several designs, ``workers`` processes at a time; results by design name, in the order given.

    ``designs`` may be a generator: mapping goes on while it makes the next ones; ``total`` is then their
    number. ``progress(done, total, name)`` is called after each one, from any thread but never twice at
    once. The first failure is raised.
    """
    tool_versions()
    if total is None:
        designs = list(designs)
        total = len(designs)
    waiting: dict[str, Future[Synthesis]] = {}
    lock, done = Lock(), 0

    def run(one: Design) -> Synthesis:
        nonlocal done
        result = synthesise(one.verilog, one.top, liberty, clock_ps=clock_ps, booth=one.booth, alumacc=one.alumacc,
                            gated=one.gated, structural=one.structural)  # fmt: skip
        with lock:
            done += 1
            if progress:
                progress(done, total, one.name)
        return result

    with ThreadPoolExecutor(workers) as pool:  # threads wait; the work is in the child processes
        try:
            for one in designs:
                waiting[one.name] = pool.submit(run, one)
            return {name: future.result() for name, future in waiting.items()}
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _check_gates(liberty: Liberty) -> None:
    """UserError without what ABC needs, an inverter and a gate of two inputs, and delays: its messages name neither."""
    gates = [cell for cell in liberty.cells.values() if cell.is_combinational and not cell.dont_use]
    inputs = {(len(cell.inputs), parse(cell.outputs[0].function or "0").kind) for cell in gates}
    if (1, NOT) not in inputs or not any(count == 2 for count, _ in inputs):
        gone = f" ({len(liberty.left_out)} cells are left out: they cannot be used)" if liberty.left_out else ""
        raise UserError(
            f"library {liberty.name} lacks an inverter or a gate of two inputs: nothing can be mapped to it{gone}"
        )
    if not any(arc.delay_rise or arc.delay_fall for cell in gates for pin in cell.outputs for arc in pin.timing):
        raise UserError(
            f"library {liberty.name} has no delay tables: gates are mapped and sized by delay; give --liberty with them"
        )


def clock_gate(liberty: Liberty) -> LibertyCell | None:
    """The smallest gate of a library for the clocks of registers that take their data at the rising edge."""
    gates = [one for one in liberty.cells.values() if one.clock_gate == PLAIN_GATE]
    return min(gates, key=lambda one: (one.area_um2, one.name), default=None)


def _gating(liberty: Liberty) -> str:
    """Yosys' command that gates clocks; it reads no cell that is marked as not to be used, as clock gates are."""
    cell = clock_gate(liberty)
    if cell is None or cell.latch is None:
        return ""
    enable, clock, gated = cell.latch.data_in, cell.latch.enable.lstrip("!"), cell.outputs[0].name
    return f"clockgate -pos {cell.name} {enable}:{clock}:{gated} -min_net_size {LEAST_GATED}"


def _script(
    top: str, liberty: Liberty, clock_ps: float, *, booth: bool, alumacc: bool, gated: bool, structural: bool
) -> str:
    options = " -booth" * booth + " -noalumacc" * (not alumacc) + " -noabc" * structural
    recipe = f" -script {COVER}" * structural
    banned = "".join(f" -dont_use {cell.name}" for cell in liberty.cells.values() if cell.dont_use)
    constraints = " -constr constraints.sdc" if liberty.driving_cell else ""
    return "\n".join([
        "read_verilog design.v",
        f"hierarchy -check -top {top}",
        f"synth -flatten -top {top}{options}",
        *([_gating(liberty)] if gated and clock_gate(liberty) else []),
        f"dfflibmap -liberty library.lib{banned}",
        f"abc -liberty library.lib{recipe}{constraints} -D {clock_ps:.0f}{banned}",
        "opt_clean -purge",
        "tee -q -o stat.json stat -liberty library.lib -json",
        "write_json netlist.json",
    ])  # fmt: skip


def _names_cells(verilog: str, liberty: Liberty) -> bool:
    """Whether a text places cells of the library itself, such as clock gates."""
    defined = set(re.findall(r"\bmodule\s+(\w+)", verilog))
    return not liberty.cells.keys().isdisjoint(set(re.findall(r"\w+", verilog)) - defined)


def _constraints(liberty: Liberty) -> str:
    return f"set_driving_cell {liberty.driving_cell}\nset_load {OUTPUT_LOAD_FF:g}\n"


def _run(verilog: str, top: str, library: str, script: str, constraints: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="slipstick-synth-") as name:
        folder = Path(name)
        texts = {"design.v": verilog, "library.lib": library, "constraints.sdc": constraints}
        for file, text in texts.items():
            (folder / file).write_text(text)
        done = yosys.run(folder, script, timeout_s=TIMEOUT_S)
        if done.code != 0 or not (folder / "netlist.json").exists():
            if re.search(r"ERROR: FF .* cannot be legalized", done.log):
                raise UserError(f"the library has no flip-flop to map {top!r} to; give --liberty with one")
            raise SynthesisError(f"Yosys could not map {top!r}", done)
        statistics = json.loads((folder / "stat.json").read_text())["design"]
        module = json.loads((folder / "netlist.json").read_text())["modules"][top]
    delays = re.findall(r"Delay = *([\d.]+) ps", done.log)
    return {
        "top": top,
        "area_um2": float(statistics.get("area", 0.0)),  # a design of wires has none
        "sequential_area_um2": float(statistics.get("sequential_area", 0.0)),
        "delay_ps": float(delays[-1]) if delays else None,
        "cells_by_type": statistics["num_cells_by_type"],
        "netlist": _compact(module),
        "log": "\n".join(done.log.splitlines()[-200:]),
    }


def _compact(module: dict[str, Any]) -> dict[str, Any]:
    """Ports, cells and named nets of a module, without the attributes that nobody reads."""
    return {
        "ports": {name: [port["direction"], port["bits"]] for name, port in module["ports"].items()},
        "cells": {name: [cell["type"], cell["connections"]] for name, cell in module["cells"].items()},
        "nets": {name: net["bits"] for name, net in module["netnames"].items() if not net["hide_name"]},
    }
