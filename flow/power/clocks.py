"""Where the clocks of a mapped netlist come from, and which inputs clear or set its registers."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from slipstick.errors import UserError
from slipstick.flow.library.boolean import CONSTANT, NOT, PIN, Expression, parse

from .gates import Instance, MappedNetlist

_LIKE_A_CLOCK = re.compile(r"(.*_)?(i_?)?(clk|clock|ck)(_.*|\d*|_?i)?", re.IGNORECASE)


@dataclass(frozen=True)
class Clocks:
    """``roots`` are the input nets that tick; ``is_simple`` where they drive clock pins directly, all with one edge.

    Then nothing else depends on their level, there is no latch or clock gate, and one settled state a cycle tells all;
    ``falls`` where that edge is the falling one. ``quiet`` gives the level of input ports at which they neither clear
    nor set a register.
    """

    roots: frozenset[int]
    is_simple: bool
    falls: bool
    quiet: dict[str, int]


@lru_cache(maxsize=16)
def clocks_of(netlist: MappedNetlist) -> Clocks:
    """Clocks and resets of a netlist, found from its clock pins through gates; UserError where none can be told."""
    drivers = {
        gate.nets[pin.name]: gate
        for gate in (*netlist.gates, *netlist.latches)
        for pin in gate.cell.outputs
        if pin.name in gate.nets
    }
    ports = _inputs(netlist)
    gates = [latch for latch in netlist.latches if latch.cell.clock_gate]
    ticking = {net for one in (*netlist.flops, *gates) for net in _clock_nets(one)}
    roots: set[int] = set().union(*(_roots(netlist, ports, drivers, net) for net in ticking))
    edges = {parse(flop.cell.flop.clocked_on).kind for flop in netlist.flops if flop.cell.flop}
    read = {net for gate in netlist.gates for net in gate.nets.values()}
    is_simple = (
        not netlist.latches
        and netlist.clock_nets <= roots
        and len(edges) < 2
        and edges <= {PIN, NOT}
        and not read & netlist.clock_nets
    )
    return Clocks(frozenset(roots), is_simple, NOT in edges, _quiet_levels(netlist, ports, drivers))


def _clock_nets(one: Instance) -> list[int]:
    element = one.cell.flop.clocked_on if one.cell.flop else one.cell.latch.enable if one.cell.latch else "0"
    return [one.nets[pin] for pin in parse(element).pins() if pin in one.nets]


def _inputs(netlist: MappedNetlist) -> dict[int, str]:
    inputs = {name: nets for name, (direction, nets) in netlist.ports.items() if direction == "input"}
    return {net: name for name, nets in inputs.items() for net in nets}


def _roots(netlist: MappedNetlist, ports: dict[int, str], drivers: dict[int, Instance], net: int) -> set[int]:
    """Input nets that tick a clock net; of those behind a gate of several inputs, the ones called like a clock."""
    waiting = [(net, True)]
    seen: set[int] = set()
    direct: set[int] = set()
    behind: set[int] = set()
    while waiting:
        here, alone = waiting.pop()
        if here in seen:
            continue
        seen.add(here)
        if here in ports:
            (direct if alone else behind).add(here)
        elif here in drivers:
            gate = drivers[here]
            gate_clock = _clock_nets(gate) if gate.cell.clock_gate else []
            sources = gate_clock or [gate.nets[pin.name] for pin in gate.cell.inputs if pin.name in gate.nets]
            waiting += [(source, alone and len(sources) == 1) for source in sources]
    named = {one for one in behind if _LIKE_A_CLOCK.fullmatch(ports[one])}
    if not direct and not named and behind:
        names = ", ".join(sorted({ports[one] for one in behind}))
        raise UserError(f"{netlist.top!r} has a gated clock, and none of its inputs {names} is called clk or clock")
    return direct | named


def _quiet_levels(netlist: MappedNetlist, ports: dict[int, str], drivers: dict[int, Instance]) -> dict[str, int]:
    levels = {}
    for one in (*netlist.flops, *netlist.latches):
        element = one.cell.element
        for text in filter(None, (element.clear, element.preset) if element else ()):
            for net, level in _inactive(parse(text), one):
                while net in drivers and len(drivers[net].cell.inputs) == 1:
                    gate = drivers[net]
                    source = gate.cell.inputs[0].name
                    function = next(parse(pin.function or "0") for pin in gate.cell.outputs if pin.name in gate.nets)
                    level ^= function.evaluate({source: 0}, 1)
                    net = gate.nets[source]
                if net in ports and len(netlist.ports[ports[net]][1]) == 1:
                    levels[ports[net]] = level
    return levels


def _inactive(expression: Expression, one: Instance) -> Iterator[tuple[int, int]]:
    """The net of a clear or preset of one pin, and its level at rest."""
    pins = expression.pins()
    if len(pins) == 1 and expression.kind != CONSTANT and pins[0] in one.nets:
        yield one.nets[pins[0]], expression.evaluate({pins[0]: 0}, 1)
