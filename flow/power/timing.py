"""Static timing of a mapped netlist: NLDM delays and slews, longest path, no wires.

Slews are the maximum over a net's arcs, negative extrapolated slews count as 0, tables extrapolate
linearly, a rising output drives the rise capacitances of its pins: the rules under which paths agree
with OpenSTA.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from slipstick.flow.library.boolean import parse
from slipstick.flow.library.cell import Table, TimingArc

from .gates import Instance, MappedNetlist
from .synth import OUTPUT_LOAD_FF

INPUT_SLEW_PS = 50.0
"""Slew assumed at every input port and at clock pins."""
RISE, FALL = 0, 1
_CLOCK_TO_OUTPUT = ("rising_edge", "falling_edge")


@dataclass(frozen=True)
class Timing:
    """``slew_ps`` and ``arrival_ps`` float [nets, 2] for rise and fall; the longest path in ps.

    ``edge_load_ff`` [nets, 2] is what a rising and a falling output drives: pins, wires per fan-out and the
    load of output ports. Paths start at input ports and clock edges, end at output ports and at data inputs,
    setup time included. Latches start paths when they open and end them when they close; a path that passes an open
    latch is not followed through it, and every path has a whole cycle.
    """

    slew_ps: np.ndarray
    arrival_ps: np.ndarray
    edge_load_ff: np.ndarray
    delay_ps: float

    @property
    def load_ff(self) -> np.ndarray:
        """The larger of a net's two loads, float [nets]: what energies are looked up at."""
        return self.edge_load_ff.max(axis=1)


UNCHAINED: Mapping[str, str] = MappingProxyType({})


def analyse(
    netlist: MappedNetlist,
    *,
    input_slew_ps: float = INPUT_SLEW_PS,
    output_load_ff: float = OUTPUT_LOAD_FF,
    wire_ff_per_fanout: float = 0.0,
    chained: Mapping[str, str] = UNCHAINED,
) -> Timing:
    """Slews, arrivals and the longest path of a netlist.

    ``chained`` tells which output port drives which input port of a neighbour that is alike, and so carries
    the pins on that port; other outputs carry ``output_load_ff``.
    """
    load = netlist.edge_load_ff + wire_ff_per_fanout * netlist.fanout[:, None]
    outputs = {name: list(nets) for name, (direction, nets) in netlist.ports.items() if direction == "output"}
    ends = [net for nets in outputs.values() for net in nets]
    for name, driving in outputs.items():
        driven = netlist.edge_load_ff[list(netlist.ports[chained[name]][1])] if name in chained else output_load_ff
        np.add.at(load, driving, driven)
    loads = load.tolist()
    slew = [[0.0, 0.0] for _ in range(netlist.net_count)]
    arrival = [[-np.inf, -np.inf] for _ in range(netlist.net_count)]
    for direction, nets in netlist.ports.values():
        if direction == "input":
            for net in nets:
                slew[net], arrival[net] = [input_slew_ps] * 2, [0.0, 0.0]
    for one in (*netlist.flops, *netlist.latches):
        for name in _ticking(one):
            if name in one.nets:  # clocks are ideal: gates before a clock pin take no time
                slew[one.nets[name]], arrival[one.nets[name]] = [input_slew_ps] * 2, [0.0, 0.0]
    for instance in (*netlist.flops, *netlist.latches, *netlist.gates):
        for pin in instance.cell.outputs:
            if pin.name in instance.nets:
                net = instance.nets[pin.name]
                slew[net], arrival[net] = _propagate(instance, pin.timing, loads[net], slew, arrival)
    delays = [max(arrival[net]) for net in ends] + [
        _setup(one, slew, arrival) for one in (*netlist.flops, *netlist.latches)
    ]
    delay = max((one for one in delays if one > -np.inf), default=0.0)
    return Timing(np.array(slew), np.array(arrival), load, float(delay))


def _propagate(
    instance: Instance,
    arcs: tuple[TimingArc, ...],
    loads: list[float],
    slew: list[list[float]],
    arrival: list[list[float]],
) -> tuple[list[float], list[float]]:
    slews, times = [0.0, 0.0], [-np.inf, -np.inf]
    for arc in arcs:
        source = instance.nets.get(arc.related_pin)
        if source is None or source < 2:
            continue
        if instance.cell.element and not instance.cell.clock_gate and arc.kind not in _CLOCK_TO_OUTPUT:
            continue
        tables = ((arc.delay_rise, arc.slew_rise), (arc.delay_fall, arc.slew_fall))
        for edge, (delay_table, slew_table) in enumerate(tables):
            if delay_table is None:
                continue
            for cause in causes(arc, edge):
                if arrival[source][cause] == -np.inf:
                    continue
                time = arrival[source][cause] + delay_table.at(slew[source][cause], loads[edge])
                times[edge] = max(times[edge], time)
                if slew_table is not None:
                    slews[edge] = max(slews[edge], slew_table.at(slew[source][cause], loads[edge]))
    return slews, times


def _ticking(one: Instance) -> tuple[str, ...]:
    """Pins that clock a flip-flop or open a latch."""
    flop, latch = one.cell.flop, one.cell.latch
    return parse(flop.clocked_on if flop else latch.enable if latch else "0").pins()


def causes(arc: TimingArc, edge: int) -> tuple[int, ...]:
    """Input edges that cause an output edge."""
    if arc.kind in _CLOCK_TO_OUTPUT:
        return (RISE if arc.kind == "rising_edge" else FALL,)
    if arc.sense == "positive_unate":
        return (edge,)
    return (1 - edge,) if arc.sense == "negative_unate" else (RISE, FALL)


def _setup(flop: Instance, slew: list[list[float]], arrival: list[list[float]]) -> float:
    worst = -np.inf
    for pin in flop.cell.inputs:
        for arc in pin.timing:
            net, clock = flop.nets.get(pin.name), flop.nets.get(arc.related_pin)
            if net is None or clock is None or not arc.kind.startswith("setup"):
                continue
            tables: tuple[Table | None, Table | None] = (arc.setup_rise, arc.setup_fall)
            for edge, table in enumerate(tables):
                if table is not None:
                    worst = max(worst, arrival[net][edge] + table.at(slew[net][edge], max(slew[clock])))
    return worst
