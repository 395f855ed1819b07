"""Trees of the library's own buffers, for clocks and for other nets of many pins: a stated model without a layout.

Every buffer drives at most ``max_fanout`` pins, no more load than its tables cover, and gives edges of
at most MAX_SLEW_PS; buffers drive pins, others drive these, until one root is left. A clock switches twice a cycle.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from slipstick.errors import UserError
from slipstick.flow.library.cell import InternalPower, LibertyCell, Pin
from slipstick.flow.library.liberty import Liberty
from slipstick.flow.power.cell_power import NO_ENERGY, Energy
from slipstick.flow.power.timing import INPUT_SLEW_PS

MAX_FANOUT = 16
"""Sinks of a buffer: within the 10 to 30 that clock tree synthesis commonly makes its clusters of."""

MAX_SLEW_PS = 200.0
"""Slowest clock edge that a buffer may give, unless it drives two pins only."""


@dataclass(frozen=True)
class BufferTree:
    """A tree for some pins: ``levels`` are buffers from the leaves to the root, ``energy`` that of two transitions.

    The pins at the leaves are not in it: they are part of what they belong to. ``delay_ps`` goes from root to leaf.
    """

    buffer: str
    levels: tuple[int, ...]
    energy: Energy
    area_um2: float
    delay_ps: float

    def energy_at(self, density: float) -> float:
        """Energy of a cycle in fJ of a net with ``density`` transitions a cycle."""
        return 0.5 * density * (self.energy.internal_fj + self.energy.switching_fj) + self.energy.leakage_fj


NO_TREE = BufferTree("", (), NO_ENERGY, 0.0, 0.0)


def buffer_tree(
    liberty: Liberty,
    sinks: int,
    sink_ff: float,
    clock_ps: float,
    *,
    wire_ff_per_fanout: float = 0.0,
    max_fanout: int = MAX_FANOUT,
    leaf_wires: bool = True,
) -> BufferTree:
    """The tree of least energy of one kind of buffer for ``sinks`` pins of ``sink_ff`` each.

    Wires to all pins load the buffers; the energy of those to the sinks is left out unless ``leaf_wires``: wires to a
    signal's pins are counted with these. UserError for a library without a buffer, or a fan-out below 2.
    """
    if max_fanout < 2:
        raise UserError(f"a buffer must drive at least 2 pins, not {max_fanout}")
    if sinks < 1:
        return NO_TREE
    setting = sinks, sink_ff, clock_ps, liberty.voltage_v, wire_ff_per_fanout, max_fanout, leaf_wires
    trees = [tree for cell in liberty.buffers if (tree := _tree(cell, *setting))]
    if not trees:
        raise UserError(f"no buffer of library {liberty.name} can drive a tree; leave it out")
    return min(trees, key=lambda tree: (tree.energy.total_fj, tree.buffer))


def _tree(
    cell: LibertyCell, sinks: int, sink_ff: float, clock_ps: float, voltage_v: float, wire_ff: float, max_fanout: int,
    leaf_wires: bool,
) -> BufferTree | None:  # fmt: skip
    source, output = cell.inputs[0], cell.outputs[0]
    most = _largest_load(output)
    levels: list[int] = []
    energy, pins, pin_ff, delay = NO_ENERGY, sinks, sink_ff, 0.0
    own_ff = max(source.capacitance_rise_ff, source.capacitance_fall_ff)
    while pins > 1 or not levels:
        fanout = min(max_fanout, int(most / (pin_ff + wire_ff)))
        while fanout > 2 and _slew_ps(output, fanout * (pin_ff + wire_ff)) > MAX_SLEW_PS:
            fanout -= 1
        if fanout < 2:
            return None
        count = -(-pins // fanout)
        load = (pin_ff + wire_ff) * pins / count
        internal = 2 * sum(_mean(arc, load) for arc in (*source.internal, *output.internal))
        wired = pins if levels or leaf_wires else 0
        capacitance = count * own_ff + wired * wire_ff  # of the buffers' inputs, and of the wires that they drive
        leakage = _leakage_nw(cell) * clock_ps * 1e-6
        energy = energy.plus(Energy(count * internal, capacitance * voltage_v**2, count * leakage))
        levels.append(count)
        delay += _delay_ps(output, load)
        pins, pin_ff = count, own_ff
    return BufferTree(cell.name, tuple(levels), energy, sum(levels) * cell.area_um2, delay)


def _largest_load(output: Pin) -> float:
    tables = [table for arc in output.timing for table in (arc.delay_rise, arc.delay_fall) if table]
    return max((table.load[-1] for table in tables), default=0.0)


def _slew_ps(output: Pin, load: float) -> float:
    tables = [table for arc in output.timing for table in (arc.slew_rise, arc.slew_fall) if table]
    return max((table.at(INPUT_SLEW_PS, load) for table in tables), default=0.0)


def _delay_ps(output: Pin, load: float) -> float:
    tables = [table for arc in output.timing for table in (arc.delay_rise, arc.delay_fall) if table]
    return max((table.at(INPUT_SLEW_PS, load) for table in tables), default=0.0)


def _mean(arc: InternalPower, load: float) -> float:
    return 0.5 * sum(table.at(INPUT_SLEW_PS, load) for table in (arc.rise, arc.fall) if table)


def _leakage_nw(cell: LibertyCell) -> float:
    """Mean over the two states of the clock."""
    states: Sequence[float] = [value for _, value in cell.leakage_states]
    return sum(states) / len(states) if states else cell.leakage_nw
