"""Verilog text of components: the only caller of Amaranth's back ends."""

import re

from amaranth.back import verilog
from amaranth.hdl import ClockDomain, Fragment, Value
from amaranth.lib.wiring import Component

from slipstick.store import caches_of_tools

from .accelerator import Accelerator
from .place import Library
from .spec.array import ArrayConfig
from .tidy import tidy


def to_verilog(component: Component, name: str) -> str:
    """Verilog of one component and its submodules, free of source locations.

    The ports are the component's members, ``clk`` if it is ``clocked``, and ``rst``, synchronous, if it is
    ``resettable``: nothing else is reset. Submodules are prefixed with ``name``, so texts of several
    components can be joined.
    """
    ports = [Value.cast(value) for _, _, value in component.signature.flatten(component)]
    fragment = Fragment.get(component, None)
    if component.clocked:
        clock = ClockDomain("sync", reset_less=not getattr(component, "resettable", False))
        fragment.add_domains(clock)
        ports[:0] = [clock.clk] if clock.rst is None else [clock.clk, clock.rst]
    with caches_of_tools():
        text = verilog.convert(fragment, name=name, ports=ports, emit_src=False, strip_internal_attrs=True)
    text = re.sub(r"\\(" + re.escape(name) + r"\.[\w.$]+) ", lambda m: re.sub(r"\W", "_", m[1]) + " ", text)
    return tidy(text)


def accelerator_verilog(
    config: ArrayConfig, *, accumulator_rows: int = 256, depth: int = 64, name: str | None = None
) -> str:
    """Verilog of ``Accelerator``: one self-contained text, every kind of part a module of its own.

    With a ``name``, the top module has it and all others begin with it, so that several stand in one design.
    """
    library = Library(name)
    library.part(Accelerator, config, accumulator_rows, depth)
    modules = [to_verilog(part, library.module_name(part)) for part in library.parts()]
    return "\n".join([_header(config, accumulator_rows, depth), *modules])


def _header(config: ArrayConfig, accumulator_rows: int, depth: int) -> str:
    lines = [
        "Slipstick accelerator: weight-stationary systolic array with approximate multipliers.",
        f"Array (rows x columns): {config.describe()}",
        f"Accumulators: {accumulator_rows} rows, wide enough for {depth} x {config.rows} products and a bias.",
        "Cells:",
        *(f"  {cell.name}: {len(cell.netlist.gates)} gates, netlist {cell.digest[:16]}" for cell in config.cells),
    ]
    one_file = "/* verilator lint_off DECLFILENAME */  // one file holds all modules\n"
    return "".join(f"// {line}\n" for line in lines) + one_file
