"""Energy a cycle of a mapped netlist: internal (Liberty tables), switching (pins) and leakage.

Rules, in the order in which they are applied:

- input pin: mean of its rise and fall tables at the pin's slew, times P(``when``), times its density;
- output pin: mean of rise and fall tables at the related pin's slew and the net's load; several arcs
  are weighted by density(related) * P(the output follows the related pin, in the arc's ``when``), the
  weights normalised to 1 per supply pin, times the output's density;
- a group without ``when`` beside others with it, of the same pins and supply, counts in the states that
  these leave: libraries repeat one of the others there as a default (our reading of Liberty);
- leakage: sum of P(``when``) * value, and the cell's default for the rest;
- switching: C V^2 / 2 a transition, C the pins on the net (the larger of rise and fall sums).

P is counted on the simulated waveforms, states of several pins jointly; the clock is high half of the
time. ``Rule.INDEPENDENT`` multiplies the pins' own probabilities instead, ignores ``when`` of output arcs and
adds groups without ``when`` to the others, as OpenSTA does; the first halves the clock energy of flip-flops
whose ``when`` names both Q and QN, the last counts that of SG13G2's twice.
Clock tree and wires are not included, unless ``wire_ff_per_fanout`` is given.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from slipstick.flow.library.liberty import Liberty

from .activity import Activity
from .annotation import Annotation
from .cell_power import NO_ENERGY, CellGroup, Energy, Rule
from .gates import Instance, MappedNetlist
from .synth import OUTPUT_LOAD_FF, Synthesis
from .timing import INPUT_SLEW_PS, UNCHAINED, Timing, analyse


@dataclass(frozen=True)
class PowerReport:
    """Energy of one clock cycle: flip-flops with the clock net, gates, and the nets of input ports.

    ``inputs`` is the switching of the pins that input nets see; whatever drives them pays it, so a
    module's own figure counts it exactly once when modules are put together.
    """

    registers: Energy
    gates: Energy
    inputs: Energy

    @property
    def total(self) -> Energy:
        """Sum of the parts."""
        return self.registers.plus(self.gates, self.inputs)


class GroupEnergy(NamedTuple):
    """Energy of a cycle of a group of instances: without their clock pins, and that of the clock pins alone."""

    data: Energy
    clock_pins: Energy

    @property
    def total(self) -> Energy:
        """Sum of both."""
        return self.data.plus(self.clock_pins)


class PowerModel:
    """Energies of one netlist, looked up once; ``report`` then costs milliseconds per activity."""

    def __init__(
        self,
        netlist: MappedNetlist,
        *,
        clock_ps: float,
        rule: Rule = Rule.JOINT,
        input_slew_ps: float = INPUT_SLEW_PS,
        output_load_ff: float = OUTPUT_LOAD_FF,
        wire_ff_per_fanout: float = 0.0,
        chained: Mapping[str, str] = UNCHAINED,
    ) -> None:
        self.netlist, self.clock_ps, self.rule = netlist, clock_ps, rule
        self.timing: Timing = analyse(
            netlist,
            input_slew_ps=input_slew_ps,
            output_load_ff=output_load_ff,
            wire_ff_per_fanout=wire_ff_per_fanout,
            chained=chained,
        )
        capacitance = netlist.load_ff + wire_ff_per_fanout * netlist.fanout
        self._switching_fj = 0.5 * capacitance * netlist.liberty.voltage_v**2  # [nets], a transition
        groups: dict[str, list[Instance]] = {}
        for instance in (*netlist.flops, *netlist.latches, *netlist.gates):
            groups.setdefault(instance.cell.name + "|" + ",".join(instance.nets), []).append(instance)
        self._groups = [CellGroup(members, self.timing, rule) for members in groups.values()]

    def report(self, activity: Activity | Annotation) -> PowerReport:
        """Energy of a cycle under an activity of the same netlist."""
        kinds = {one.name: "gates" for one in self.netlist.gates} | {
            one.name: "registers" for one in (*self.netlist.flops, *self.netlist.latches)
        }
        kinds |= {port: "inputs" for port, (direction, _) in self.netlist.ports.items() if direction == "input"}
        groups = self.report_groups(activity, kinds)
        return PowerReport(
            *(groups[kind].total if kind in groups else NO_ENERGY for kind in ("registers", "gates", "inputs"))
        )

    def report_groups(self, activity: Activity | Annotation, group_of: Mapping[str, str]) -> dict[str, "GroupEnergy"]:
        """Energy of a cycle by group; ``group_of`` names the group of every instance and input port.

        A driven net's switching belongs to its driver, an input port's to the port's group. The clock
        net's goes to the flip-flops, in proportion to their clock pins. The groups add up to ``report``.
        """
        switching = self._switching_fj * activity.density
        own: dict[str, Energy] = {}
        clock: dict[str, Energy] = {}
        driven = np.zeros(self.netlist.net_count, bool)
        for group in self._groups:
            net = np.zeros(len(group.names))
            for pin in group.cell.outputs:
                if pin.name in group.nets:
                    driven[group.nets[pin.name]] = True
                    net += switching[group.nets[pin.name]]
            pins = np.zeros(len(group.names))
            for name in group.clock_pins:
                pin = group.cell.pins[name]
                pins += max(pin.capacitance_rise_ff, pin.capacitance_fall_ff)
            internal, clock_pins, leakage = group.energies(activity, self.clock_ps)
            for place, name in enumerate(group.names):
                where = group_of[name]
                own[where] = own.get(where, NO_ENERGY).plus(
                    Energy(float(internal[place]), float(net[place]), float(leakage[place]))
                )
                clock[where] = clock.get(where, NO_ENERGY).plus(Energy(float(clock_pins[place]), float(pins[place]), 0))
        clocks = [net for net in self.netlist.clock_nets if not driven[net]]
        driven[clocks] = True
        capacitance = sum(one.switching_fj for one in clock.values())
        scale = float(switching[clocks].sum()) / capacitance if capacitance else 0.0
        for port, (direction, nets) in self.netlist.ports.items():
            if direction == "input":
                free = [net for net in dict.fromkeys(nets) if not driven[net]]
                driven[free] = True
                if free and switching[free].any():
                    energy = Energy(0.0, float(switching[free].sum()), 0.0)
                    own[group_of[port]] = own.get(group_of[port], NO_ENERGY).plus(energy)
        return {
            where: GroupEnergy(
                own.get(where, NO_ENERGY),
                clock[where]._replace(switching_fj=scale * clock[where].switching_fj) if where in clock else NO_ENERGY,
            )
            for where in {**own, **clock}
        }


@lru_cache(maxsize=512)
def power_model(
    synthesis: Synthesis, liberty: Liberty, clock_ps: float, chained: tuple[tuple[str, str], ...] = ()
) -> PowerModel:
    """The power model of a mapped design under the default assumptions; built once.

    ``chained`` are pairs of an output port and the input port that it drives in a neighbour alike.
    """
    return PowerModel(MappedNetlist.build(synthesis, liberty), clock_ps=clock_ps, chained=dict(chained))
