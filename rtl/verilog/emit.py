"""Verilog text of components: the only caller of Amaranth's back ends."""

import re
from collections.abc import Iterable, Iterator, Mapping

from amaranth.back import rtlil, verilog
from amaranth.hdl import ClockDomain, Fragment, Value
from amaranth.lib.wiring import Component

from slipstick.store import caches_of_tools

from ..array.accelerator import Accelerator
from ..parts.place import Library
from ..spec.machine import AcceleratorConfig
from .tidy import tidy


def to_verilog(component: Component, name: str) -> str:
    """Verilog of one component and its submodules, free of source locations.

    The ports are the component's members, ``clk`` if it is ``clocked``, and ``rst``, synchronous, if it is
    ``resettable``: nothing else is reset. Submodules are prefixed with ``name``, so texts of several
    components can be joined.
    """
    return tidy(_verilog([(component, name)]))


def _verilog(components: Iterable[tuple[Component, str]]) -> str:
    """Verilog of components and their submodules, untidied: Yosys, which starts slowly, is called once for all."""
    texts = {name: _rtlil(component, name) for component, name in components}
    with caches_of_tools():
        # private, and the only way to convert more than one design at a time
        text = verilog._convert_rtlil_text("\n".join(texts.values()), strip_internal_attrs=True)

    def plain(match: re.Match[str]) -> str:
        return re.sub(r"\W", "_", match[1]) + " " if match[1].partition(".")[0] in texts else match[0]

    return re.sub(r"\\([\w$]+\.[\w.$]+) ", plain, text)


def _rtlil(component: Component, name: str) -> str:
    """RTLIL of one component as module ``name``."""
    ports = [Value.cast(value) for _, _, value in component.signature.flatten(component)]
    fragment = Fragment.get(component, None)
    if component.clocked:
        clock = ClockDomain("sync", reset_less=not getattr(component, "resettable", False))
        fragment.add_domains(clock)
        ports[:0] = [clock.clk] if clock.rst is None else [clock.clk, clock.rst]
    return rtlil.convert(fragment, name=name, ports=ports, emit_src=False)


def accelerator_verilog(config: AcceleratorConfig, *, name: str | None = None) -> str:
    """Verilog of ``Accelerator``: one self-contained text, every kind of part a module of its own.

    With a ``name``, the top module has it and all others begin with it, so that several stand in one design.
    """
    return _header(config) + "\n" + tidy(_verilog(_parts(config, name)))


def accelerators_verilog(configs: Mapping[str, AcceleratorConfig]) -> str:
    """Verilog of several accelerators by their names, for one simulation."""
    return tidy(_verilog(part for name, config in configs.items() for part in _parts(config, name)))


def _parts(config: AcceleratorConfig, name: str | None) -> Iterator[tuple[Component, str]]:
    """Every part of an accelerator and its module's name, the top first."""
    library = Library(name)
    library.part(Accelerator, config)
    return ((part, library.module_name(part)) for part in library.parts())


def _header(config: AcceleratorConfig) -> str:
    array, (tile_rows, tile_columns) = config.array, config.mesh
    lines = [
        "Slipstick accelerator: a systolic mesh of dot-product tiles with approximate multipliers.",
        f"Array (rows x columns): {array.describe()}",
        f"Tiles: {config.tile_rows} x {config.tile_columns} products each, {tile_rows} x {tile_columns} of them.",
        f"Accumulators: {config.accumulator_rows} rows, for sums of {config.depth} x {array.rows} products and a bias.",
        "Cells:",
        *(f"  {cell.name}: {len(cell.netlist.gates)} gates, netlist {cell.digest[:16]}" for cell in array.cells),
    ]
    one_file = "/* verilator lint_off DECLFILENAME */  // one file holds all modules\n"
    return "".join(f"// {line}\n" for line in lines) + one_file
