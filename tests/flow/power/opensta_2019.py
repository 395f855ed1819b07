"""The power rule of OpenSTA 2.0.17 on our own tables, slews and loads, found by observing its answers.

That version has one activity for all nets: after ``set_power_activity -global`` and ``-input`` every net
changes equally often and is 1 for the same share of time, clocks aside. Of every instance:

- each pin, unconnected outputs included, pays (rise + fall) * weight * density of the pin, summed over its
  ``internal_power`` groups, whatever their supply pin;
- the rise table is looked up at the rise slew of the related pin (of the pin itself without one), the fall
  table at its fall slew, also of inverting arcs; the load is the larger of the net's rise and fall sums;
- the weight of a group with ``when`` is P(``when``), found operator by operator as if operands were independent;
- without ``when``, where the related pin is, perhaps inverted, an operand of the outermost AND, OR or XOR
  of the output's function (inversions around it do not count): P(the other operand is 1) for AND, P(it is
  0) for OR and for XOR; 1 where the pin is all of the function;
- without ``when``, related to a clock pin, or a group of the clock pin itself: 1;
- in all other cases, such as pins deeper in the function and input pins: 1/2;
- leakage is ``cell_leakage_power``, whatever the state; switching is C V^2 / 2 * density by output.

Later versions take the mean of rise and fall, weigh the arcs of an output by density and Boolean
difference so that they add up to 1, and leakage by state: ``Rule.INDEPENDENT`` follows those.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from slipstick.flow.library.boolean import AND, CONSTANT, NOT, OR, PIN, XOR, Expression, parse
from slipstick.flow.library.cell import InternalPower, Pin
from slipstick.flow.power.annotation import Annotation
from slipstick.flow.power.cell_power import Energy, edge_energies
from slipstick.flow.power.gates import Instance, MappedNetlist
from slipstick.flow.power.netlist_verilog import netlist_verilog
from slipstick.flow.power.timing import Timing, analyse
from tests.flow.power.opensta import powers

DENSITY, DUTY = 0.2, 0.3
"""Transitions a cycle and share of time at 1: not 1/2, so that a probability and its complement differ."""


class Comparison(NamedTuple):
    """Energies of a cycle in fJ, ours and OpenSTA's; the share and gate that differ most, by ``worst`` (relative)."""

    ours_fj: float
    opensta_fj: float
    worst: float
    gate: str

    @property
    def difference(self) -> float:
        """Relative difference of the totals."""
        return abs(self.ours_fj / self.opensta_fj - 1)


def compare(netlist: MappedNetlist, clock_ps: float, folder: Path, duty: float = DUTY) -> Comparison:
    """Every gate and flip-flop of a netlist under this rule and in OpenSTA, all nets at one activity.

    A difference is relative to the instance's larger share, internal or switching: shares near 0 count little.
    """
    activity = uniform(netlist, DENSITY, duty)
    reference = powers(netlist, clock_ps, DENSITY, duty, folder)
    ours = energies(activity, analyse(netlist), clock_ps)
    assert ours.keys() == reference.keys()
    kinds = dict(zip(ours, (*netlist.gates, *netlist.flops), strict=True))
    worst, gate = 0.0, "none"
    for name, energy in ours.items():
        size = max(map(abs, reference[name]))
        for share, own, other in zip(Energy._fields, energy, reference[name], strict=True):
            if abs(own - other) > worst * size:
                worst = abs(own - other) / size
                gate = f"{share} of {name} ({kinds[name].cell.name}): {own:.6g}, OpenSTA {other:.6g}"
    totals = (sum(one.total_fj for one in found.values()) for found in (ours, reference))
    return Comparison(*totals, worst, gate)


def uniform(netlist: MappedNetlist, density: float, duty: float) -> Annotation:
    """Every net at one density (transitions a cycle) and probability of 1, constants as well; clocks at 2 and 1/2."""
    densities, ones = np.full(netlist.net_count, density), np.full(netlist.net_count, duty)
    clocks = list(netlist.clock_nets)
    densities[clocks], ones[clocks] = 2.0, 0.5
    return Annotation(netlist, densities, ones, np.full(netlist.net_count, True))


def energies(activity: Annotation, timing: Timing, clock_ps: float) -> dict[str, Energy]:
    """Energy of a cycle by instance of ``netlist_verilog``."""
    netlist = activity.netlist
    instances = (*netlist.gates, *netlist.flops)
    switching = 0.5 * timing.load_ff * netlist.liberty.voltage_v**2 * activity.density
    return {
        name: Energy(
            _internal_fj(one, timing, activity),
            float(sum(switching[one.nets[pin.name]] for pin in one.cell.outputs if pin.name in one.nets)),
            one.cell.leakage_nw * clock_ps * 1e-6,  # nW * ps = 1e-6 fJ
        )
        for name, one in zip(netlist_verilog(netlist).instances, instances, strict=True)
    }


def _internal_fj(one: Instance, timing: Timing, activity: Annotation) -> float:
    clocks = parse(one.cell.flop.clocked_on).pins() if one.cell.flop else ()
    shown = next(one.nets[pin.name] for pin in one.cell.outputs if pin.name in one.nets)
    nets = {name: one.nets.get(name, shown) for name in one.cell.pins}  # unconnected: as active as the others
    ones = {name: float(activity.probability[net]) for name, net in nets.items()}
    total = 0.0
    for pin in one.cell.pins.values():
        loaded = pin.direction == "output" and pin.name in one.nets
        load = timing.load_ff[[one.nets[pin.name]]] if loaded else np.zeros(1)
        for group in pin.internal:
            slews = timing.slew_ps[[nets[group.related_pin or pin.name]]]
            energy = float(edge_energies(group, slews, load).sum())
            total += energy * _weight(pin, group, clocks, ones) * float(activity.density[nets[pin.name]])
    return total


def _weight(pin: Pin, group: InternalPower, clocks: tuple[str, ...], ones: dict[str, float]) -> float:
    if group.when:
        return _probability(parse(group.when), ones)
    if (group.related_pin or pin.name) in clocks:
        return 1.0
    if pin.direction == "output" and group.related_pin and pin.function:
        outermost = _inside(parse(pin.function))
        if outermost.kind == PIN and outermost.name == group.related_pin:
            return 1.0
        for operand, other in zip(outermost.operands, reversed(outermost.operands), strict=True):
            inner = _inside(operand)
            if inner.kind == PIN and inner.name == group.related_pin:
                high = _probability(other, ones)
                return high if outermost.kind == AND else 1.0 - high
    return 0.5


def _inside(expression: Expression) -> Expression:
    """The expression without the inversions around it."""
    while expression.kind == NOT:
        (expression,) = expression.operands
    return expression


def _probability(expression: Expression, ones: dict[str, float]) -> float:
    """P(1), operator by operator: repeated pins count as independent."""
    if expression.kind == PIN:
        return ones[expression.name]
    if expression.kind == CONSTANT:
        return float(expression.value)
    parts = [_probability(operand, ones) for operand in expression.operands]
    if expression.kind == NOT:
        return 1.0 - parts[0]
    left, right = parts
    both = left * right
    return {AND: both, OR: left + right - both, XOR: left + right - 2.0 * both}[expression.kind]
