"""A mapped netlist as structural Verilog, for the tools of others: OpenSTA, Icarus, place and route.

Names are short and plain: gates ``g0``, ``g1``, ... in topological order, flip-flops ``r0``, latches ``l0``, ...; nets
``n2``, ... by their number, but those of ports by the port's bit. So reports of other tools lead back
to the net numbers of ``MappedNetlist``.
"""

import re
from dataclasses import dataclass

from .gates import MappedNetlist


@dataclass(frozen=True)
class NetlistVerilog:
    """``text`` of module ``netlist.top``; ``nets`` names by net number, ``instances`` of gates, flip-flops, latches."""

    text: str
    nets: tuple[str, ...]
    instances: tuple[str, ...]


def netlist_verilog(netlist: MappedNetlist) -> NetlistVerilog:
    """Structural Verilog of a mapped netlist: library cells with named connections, one flat module."""
    mark = ""
    while any(re.fullmatch(rf"{mark}[glnr]\d+", port) for port in netlist.ports):
        mark += "_"
    names = {0: "1'b0", 1: "1'b1"}
    declared, aliases = [], []
    for wanted in ("input", "output"):
        for port, (direction, nets) in netlist.ports.items():
            if direction == wanted:
                declared.append(f"  {direction} {_range(len(nets))}{port};")
                for index, net in enumerate(nets):
                    bit = f"{port}[{index}]" if len(nets) > 1 else port
                    if names.setdefault(net, bit) != bit:  # a constant, an input, or a net of two outputs
                        aliases.append(f"  assign {bit} = {names[net]};")
    inner = [net for net in range(2, netlist.net_count) if net not in names]
    names |= {net: f"{mark}n{net}" for net in inner}
    declared += [f"  wire {names[net]};" for net in inner]
    counts = (("g", len(netlist.gates)), ("r", len(netlist.flops)), ("l", len(netlist.latches)))
    instances = tuple(f"{mark}{letter}{index}" for letter, count in counts for index in range(count))
    placed = [
        f"  {one.cell.name} {name} ({', '.join(f'.{pin}({names[net]})' for pin, net in one.nets.items())});"
        for name, one in zip(instances, netlist.instances, strict=True)
    ]
    lines = [f"module {netlist.top} ({', '.join(netlist.ports)});", *declared, *aliases, *placed, "endmodule", ""]
    return NetlistVerilog("\n".join(lines), tuple(names[net] for net in range(netlist.net_count)), instances)


def _range(width: int) -> str:
    return f"[{width - 1}:0] " if width > 1 else ""
