"""Gate delays for simulation: none, one step each, or NLDM on a grid of picoseconds."""

import enum

from slipstick.errors import UserError
from slipstick.flow.library.cell import TimingArc

from .gates import Instance, MappedNetlist
from .timing import FALL, RISE, Timing, causes

GRID_PS = 5.0


class Delays(enum.Enum):
    """What a simulation takes for the delays of gates; the value says it in words."""

    ZERO = "zero-delay (no glitches)"
    UNIT = "unit-delay (glitches, every gate one step)"
    NLDM = "NLDM-delay (glitches, inertial)"


Steps = dict[int, tuple[int, int]]
"""Delays (rise, fall) in steps by output net; at least one step for a gate."""


def unit_steps(netlist: MappedNetlist) -> Steps:
    """One step for every gate; flip-flops change with the input ports, at step 0."""
    return {net: (1, 1) for gate in netlist.gates for net in _outputs(gate)} | {
        net: (0, 0) for one in (*netlist.flops, *netlist.latches) for net in _outputs(one)
    }


def nldm_steps(netlist: MappedNetlist, timing: Timing, grid_ps: float = GRID_PS) -> Steps:
    """NLDM delays of gates and clock-to-output times of flip-flops, rounded to ``grid_ps``.

    A delay is the largest over an output's arcs, at the slews and loads of the timing analysis; so no
    net changes later than the analysis says, but for rounding. UserError for a grid that is not
    positive, and for an output without a delay table.
    """
    if not grid_ps > 0:
        raise UserError(f"a delay grid of {grid_ps:g} ps is not positive")
    found: Steps = {}
    for gate in netlist.gates:
        for pin in gate.cell.outputs:
            if pin.name in gate.nets:
                net = gate.nets[pin.name]
                rise, fall = (_delay_ps(gate, pin.timing, edge, timing, net) for edge in (RISE, FALL))
                found[net] = max(1, round(rise / grid_ps)), max(1, round(fall / grid_ps))
    for one in (*netlist.flops, *netlist.latches):
        for net in _outputs(one):
            rise, fall = (round(max(0.0, float(time)) / grid_ps) for time in timing.arrival_ps[net])
            found[net] = rise, fall
    return found


def _outputs(instance: Instance) -> list[int]:
    return [instance.nets[pin.name] for pin in instance.cell.outputs if pin.name in instance.nets]


def _delay_ps(gate: Instance, arcs: tuple[TimingArc, ...], edge: int, timing: Timing, net: int) -> float:
    worst = None
    for arc in arcs:
        table = (arc.delay_rise, arc.delay_fall)[edge]
        source = gate.nets.get(arc.related_pin)
        if table is None or source is None:
            continue
        for cause in causes(arc, edge):
            delay = table.at(float(timing.slew_ps[source][cause]), float(timing.edge_load_ff[net, edge]))
            worst = delay if worst is None else max(worst, delay)
    if worst is None:
        if not gate.cell.inputs:
            return 0.0  # a tie cell never changes
        raise UserError(f"cell {gate.cell.name!r} has no delay table; take unit delays, or a Liberty file with timing")
    return worst
