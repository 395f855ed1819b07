"""One module of the accelerator as mapped gates: its energy on the words that its ports see."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from slipstick.errors import UserError
from slipstick.flow.library.liberty import Liberty
from slipstick.flow.power.activity import Activity, simulate
from slipstick.flow.power.delays import Delays
from slipstick.flow.power.gates import MappedNetlist
from slipstick.flow.power.glitches import each_with_glitches
from slipstick.flow.power.power import PowerModel, power_model
from slipstick.flow.power.synth import Synthesis
from slipstick.flow.power.timing import analyse
from slipstick.sources import code_digest
from slipstick.store import Store, digest

CLOCK = "clock pins"
Words = Mapping[str, np.ndarray]
Check = Callable[[Activity], None]


class MappingError(UserError):
    """Mapped gates do not compute what they should: a fault of a tool or of the Liberty file."""


@dataclass(frozen=True)
class Stimulus:
    """What a unit's input ports see: words int [n] or bits [n, width] by port, as ``simulate`` takes them.

    They are ``segments`` sequences of equal length, of which the first ``settle`` steps are not counted.
    ``check`` raises MappingError where the outputs are wrong.
    """

    words: Words
    segments: int
    settle: int
    check: Check | None = None

    @property
    def count(self) -> int:
        """Vectors of all sequences."""
        return len(next(iter(self.words.values())))

    @property
    def kind(self) -> tuple[Any, ...]:
        """Stimuli of one kind can be simulated as one."""
        return self.count // self.segments, self.settle, tuple(sorted(self.words))


@dataclass(frozen=True)
class UnitEnergy:
    """Energy of a cycle in fJ by part, clock pins and gates under CLOCK.

    ``toggles`` are the transitions a cycle that input pins see, ``port_toggles`` those of every bit of an input port.
    """

    parts: dict[str, float]
    toggles: float
    port_toggles: dict[str, tuple[float, ...]]

    @property
    def total_fj(self) -> float:
        """Sum of the parts."""
        return sum(self.parts.values())

    @staticmethod
    def mean(energies: "list[UnitEnergy]", weights: np.ndarray) -> "UnitEnergy":
        """Weighted mean of energies of one unit."""
        share = weights / weights.sum()
        names = dict.fromkeys(name for one in energies for name in one.parts)
        return UnitEnergy(
            {name: float(sum(s * one.parts.get(name, 0.0) for s, one in zip(share, energies, strict=True)))
             for name in names},
            float(sum(s * one.toggles for s, one in zip(share, energies, strict=True))),
            {port: tuple(np.average([one.port_toggles[port] for one in energies], axis=0, weights=share))
             for port in energies[0].port_toggles},
        )  # fmt: skip


@dataclass(frozen=True)
class Unit:
    """A mapped module; ``part_of`` names the part of the energy that a gate, register or input port belongs to.

    ``chained`` are pairs of an output port and the input port that it drives in a neighbour alike.
    """

    synthesis: Synthesis
    liberty: Liberty
    clock_ps: float
    part_of: Callable[[MappedNetlist, str], str] = field(default=lambda netlist, name: "gates")
    chained: tuple[tuple[str, str], ...] = ()

    @property
    def power(self) -> PowerModel:
        """Power model of the netlist."""
        return power_model(self.synthesis, self.liberty, self.clock_ps, self.chained)

    @property
    def area_um2(self) -> float:
        """Area of all cells."""
        return self.synthesis.area_um2

    @property
    def gate_count(self) -> int:
        """Library cells, registers included."""
        return self.synthesis.gate_count

    @property
    def delay_ps(self) -> float:
        """Longest path from a port or clock edge through set-up."""
        return self.power.timing.delay_ps

    def delay_with_wires(self, wire_ff_per_fanout: float) -> float:
        """The longest path with a wire of this capacitance to every pin."""
        return analyse(self.power.netlist, wire_ff_per_fanout=wire_ff_per_fanout).delay_ps

    @cached_property
    def resting_fj(self) -> float:
        """Energy of a cycle in which no input moves and every enable is 0; kept with the unit."""
        netlist = self.power.netlist
        ports = {name: len(nets) for name, (direction, nets) in netlist.ports.items() if direction == "input"}
        still = {name: np.zeros((8, width), np.uint8) for name, width in ports.items() if name != "clk"}
        return self.energy(Stimulus(still, 1, 3)).total_fj

    @cached_property
    def clock_sinks(self) -> tuple[int, float]:
        """Pins on the clock port, flip-flops' and clock gates', and their capacitance in fF."""
        netlist = self.power.netlist
        nets = list(netlist.ports["clk"][1]) if "clk" in netlist.ports else []
        return int(netlist.fanout[nets].sum()), float(netlist.load_ff[nets].sum())

    @cached_property
    def groups(self) -> dict[str, str]:
        """Part of every instance and input port."""
        netlist = self.power.netlist
        found = {one.name: self.part_of(netlist, one.name) for one in (*netlist.gates, *netlist.flops)}
        found |= {one.name: CLOCK for one in netlist.latches}
        for name, (direction, _) in netlist.ports.items():
            if direction == "input":
                found[name] = CLOCK if name == "clk" else self.part_of(netlist, name)
        return found

    def energy(self, stimulus: Stimulus, delays: Delays = Delays.ZERO) -> UnitEnergy:
        """Energy of a cycle; kept by content."""
        return self.energies([stimulus], delays)[0]

    def energies(self, stimuli: Sequence[Stimulus], delays: Delays = Delays.ZERO) -> list[UnitEnergy]:
        """Energies of a cycle of each stimulus, simulated as one where they are of a kind; kept by content."""
        key = digest(
            self.synthesis.key, self.clock_ps, self.chained, delays.name, code_digest(__name__),
            sorted(set(self.groups.values())),
            *([one.segments, one.settle, [[name, digest(np.ascontiguousarray(one.words[name]))]
               for name in sorted(one.words)]] for one in stimuli),
        )  # fmt: skip
        found = Store("unit").json(key, lambda: self._measure(stimuli, delays))
        return [
            UnitEnergy(one["parts"], one["toggles"], {name: tuple(values) for name, values in one["ports"].items()})
            for one in found
        ]

    def _measure(self, stimuli: Sequence[Stimulus], delays: Delays) -> list[dict[str, Any]]:
        activities: dict[int, Activity] = {}
        for kind in dict.fromkeys(one.kind for one in stimuli):
            places = [place for place, one in enumerate(stimuli) if one.kind == kind]
            alike = [stimuli[place] for place in places]
            words = {name: np.concatenate([one.words[name] for one in alike]) for name in alike[0].words}
            segments = sum(one.segments for one in alike)
            whole = simulate(self.power.netlist, words, segments=segments, settle=alike[0].settle)
            start = 0
            for place, one in zip(places, alike, strict=True):
                activities[place] = whole.part(start, start + one.count)
                start += one.count
                if one.check:
                    one.check(activities[place])
        in_order = [activities[place] for place in range(len(stimuli))]
        return [self._figures(one) for one in each_with_glitches(in_order, delays, self.power.timing)]

    def _figures(self, activity: Activity) -> dict[str, Any]:
        parts: dict[str, float] = {}
        for name, one in self.power.report_groups(activity, self.groups).items():
            parts[name] = parts.get(name, 0.0) + one.data.total_fj
            parts[CLOCK] = parts.get(CLOCK, 0.0) + one.clock_pins.total_fj
        ports = {
            name: activity.density[list(nets)].tolist()
            for name, (direction, nets) in self.power.netlist.ports.items()
            if direction == "input" and name != "clk"
        }
        return {"parts": parts, "toggles": pin_toggles(activity), "ports": ports}


def pin_toggles(activity: Activity) -> float:
    """Transitions a cycle that input pins see, the clock port's left out."""
    netlist = activity.netlist
    signal = np.ones(netlist.net_count)
    signal[list(netlist.ports["clk"][1]) if "clk" in netlist.ports else []] = 0
    return float((netlist.fanout * activity.density * signal).sum())


def bits_of(values: np.ndarray, width: int) -> np.ndarray:
    """The low bits of whole numbers [n], lowest first, uint8 [n, width]."""
    return (values.astype(np.int64)[:, None] >> np.arange(width) & 1).astype(np.uint8)
