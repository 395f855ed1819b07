"""Cost of a weightless MLP unit too large to be mapped whole, put together from its parts.

The front (codes, comparators, tables, steps) is one netlist, the output multiplexer another. Of the conditional sums
some outputs are mapped, each slice with its own columns of the real entries as gates, and stand for the others. What
the front broadcasts to the slices goes through trees of the library's buffers, as its clock does. Checked against
``lutnet_unit``, which maps a small unit whole. Every part sees the waveforms that the part before it gives.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from slipstick.flow.library.liberty import Liberty
from slipstick.flow.power.activity import Activity, simulate
from slipstick.flow.power.cell_power import NO_ENERGY, Energy
from slipstick.flow.power.delays import Delays
from slipstick.flow.power.glitches import with_glitches
from slipstick.flow.power.power import PowerModel, power_model
from slipstick.flow.power.synth import Synthesis, synthesise
from slipstick.rtl.lutnet.front import LutNetFront
from slipstick.rtl.lutnet.sums import ConditionalSums, OutputWord
from slipstick.rtl.lutnet.unit import STEERING, LutNetUnit
from slipstick.rtl.verilog.emit import to_verilog

from .buffer_tree import buffer_tree
from .cost import CLOCK_MHZ
from .lutnet_unit import filling_rows, waveforms
from .unit import MappingError, pin_toggles
from .wires import WIRES, WireModel

CYCLES_OF_REGISTERS = 8  # more than the registers between the ports of the front and the outputs


@dataclass(frozen=True)
class PartCost:
    """A part of the unit, ``copies`` of it: all figures but ``delay_ps`` are those of the copies together.

    ``energy`` and ``pin_toggles`` are of a cycle, without and with glitches.
    """

    area_um2: float
    gates: float
    flops: float
    delay_ps: float
    energy: tuple[Energy, Energy]
    pin_toggles: tuple[float, float]


NO_PART = PartCost(0.0, 0.0, 0.0, 0.0, (NO_ENERGY, NO_ENERGY), (0.0, 0.0))


@dataclass(frozen=True)
class ComposedCost:
    """A unit that takes a token every ``cycles`` cycles, by part; pairs are without glitches and with NLDM's, fJ.

    ``gates_fj`` of a token is all gates, fan-out buffers included; ``whole_fj`` has clock tree and wires too.
    """

    parts: dict[str, PartCost]
    cycles: int
    clock_tree: Energy = field(repr=False)
    wires_fj: tuple[float, float]

    @property
    def area_um2(self) -> float:
        """Of all gates, fan-out buffers included, the clock tree's not: as an array's."""
        return sum(part.area_um2 for part in self.parts.values())

    @property
    def delay_ps(self) -> float:
        """The longest path of any part, without what the fan-out buffers add."""
        return max(part.delay_ps for part in self.parts.values())

    @property
    def gates_fj(self) -> tuple[float, float]:
        """Energy of a token in mapped gates."""
        zero, glitching = (sum(part.energy[k].total_fj for part in self.parts.values()) for k in (0, 1))
        return self.cycles * zero, self.cycles * glitching

    @property
    def whole_fj(self) -> tuple[float, float]:
        """Energy of a token with clock tree and wires by their models."""
        tree = self.cycles * self.clock_tree.total_fj
        return self.gates_fj[0] + tree + self.wires_fj[0], self.gates_fj[1] + tree + self.wires_fj[1]

    @property
    def leakage_fj(self) -> float:
        """Of a cycle in which nothing moves and the clock stands still."""
        return sum(part.energy[0].leakage_fj for part in self.parts.values()) + self.clock_tree.leakage_fj


def composed_cost(
    unit: LutNetUnit, codes: np.ndarray, slices: Sequence[Sequence[int]], liberty: Liberty,
    clock_mhz: float = CLOCK_MHZ, wires: WireModel = WIRES,
) -> ComposedCost:  # fmt: skip
    """Cost on tokens ``codes`` int [M, D], one after another and never kept waiting; ``slices`` name outputs.

    Raises UserError for too few tokens, MappingError when a mapped netlist computes anything but the unit's spec.
    """
    clock_ps, cycles = 1e6 / clock_mhz, max(unit.beats, unit.steps)
    measured = _Measurement(unit, codes, liberty, clock_ps, cycles, filling_rows(unit, codes))
    share = unit.features / sum(map(len, slices))
    mapped = [measured.sums(outputs) for outputs in slices]
    parts = {
        "front": measured.part(*measured.front),
        "sums": _together([measured.part(*one, copies=share) for one in mapped]),
        "output word": measured.output_word(),
    }
    total_area, total_gates = (sum(getattr(one, x) for one in parts.values()) for x in ("area_um2", "gates"))
    wire_ff = wires.ff_per_fanout(total_area / total_gates)
    parts["fan-out"] = measured.fan_out(mapped, share, 0.0)
    longer = measured.fan_out(mapped, share, wire_ff)
    netlist = measured.front[0].netlist
    sink_ff = sum(netlist.load_ff[net] for net in netlist.clock_nets) / len(netlist.flops)
    flops = round(sum(part.flops for part in parts.values()))
    tree = buffer_tree(liberty, flops, float(sink_ff), clock_ps, wire_ff_per_fanout=wire_ff)
    wire = 0.5 * liberty.voltage_v**2 * wire_ff
    wired = [
        cycles * (wire * sum(one.pin_toggles[k] for one in parts.values())
                  + longer.energy[k].total_fj - parts["fan-out"].energy[k].total_fj)
        for k in (0, 1)
    ]  # fmt: skip
    return ComposedCost(parts, cycles, tree.energy, (wired[0], wired[1]))


@dataclass
class _Measurement:
    """Parts of one unit on the same tokens."""

    unit: LutNetUnit
    codes: np.ndarray
    liberty: Liberty
    clock_ps: float
    cycles: int
    filling: int

    def __post_init__(self) -> None:
        unit = self.unit
        self.wanted = unit.spec(self.codes.astype(np.int64))
        ports = waveforms(unit, self.codes, self.cycles)
        self.count = len(ports["rst"])
        ports["ready"] = np.ones(self.count, np.int64)
        self.front = self._simulated(LutNetFront(unit.spec, unit.lanes, unit.parallel), ports)
        activity = self.front[1]
        self.ended = np.flatnonzero(activity.values("valid") & activity.values("last"))  # a row each
        self.steering = {name: activity.bits(name) for name in STEERING}

    def sums(self, outputs: Sequence[int]) -> tuple[PowerModel, Activity]:
        """Some outputs' columns of the ROM, accumulators and registers, checked."""
        spec = self.unit.spec
        part = ConditionalSums(spec.entries[:, outputs], spec.entry_width, self.unit.sum_shape, self.unit.parallel)
        model, activity = self._simulated(part, self.steering | {"rst": np.zeros(self.count, np.int64)})
        bits = activity.bits("sums").reshape(self.count, len(outputs), -1).astype(np.int64)
        weights = 1 << np.arange(bits.shape[2])
        weights[-1] *= -1
        got = (bits @ weights)[self.ended]
        if len(got) < len(self.codes) - self.filling or (got != self.wanted[: len(got), outputs]).any():
            raise MappingError(f"{self.unit.module_name}: mapped sums of outputs {list(outputs)} are not the spec's")
        return model, activity

    def output_word(self) -> PartCost:
        """The multiplexer of the accumulators; wires where a beat is a row."""
        unit = self.unit
        if unit.beats == 1:
            return NO_PART
        starts = self.ended - unit.beats + 1  # a row's accumulators stand from its first beat on
        row = np.searchsorted(starts, np.arange(self.count), side="right") - 1
        held = np.where(row[:, None] < 0, 0, self.wanted[np.maximum(row, 0)])
        bits = (held[:, :, None] >> np.arange(unit.sum_shape.width) & 1).reshape(self.count, -1)
        place = self.front[1].bits("place")
        model, activity = self._simulated(
            OutputWord(unit.features, unit.sum_shape, unit.lanes), {"sums": bits, "place": place}
        )
        return self.part(model, activity)

    def fan_out(self, mapped: Sequence[tuple[PowerModel, Activity]], share: float, wire_ff: float) -> PartCost:
        """Buffers between the front and all slices, a tree for every bit that the front broadcasts, and its wires.

        The wires to the slices' pins are counted with these."""
        density = {name: self._density(name) for name in STEERING}
        area = count = 0.0
        energy = NO_ENERGY
        for name, moves in density.items():
            for bit, density_of_bit in enumerate(moves):
                nets = [(model.netlist, model.netlist.ports[name][1][bit]) for model, _ in mapped]
                pins = share * sum(int(netlist.fanout[net]) for netlist, net in nets)
                load = share * sum(float(netlist.load_ff[net]) for netlist, net in nets)
                if pins < 1:  # every slice ignores the bit
                    continue
                tree = buffer_tree(
                    self.liberty, round(pins), load / pins, self.clock_ps, wire_ff_per_fanout=wire_ff, leaf_wires=False
                )
                moving = tree.energy._replace(leakage_fj=0.0).scaled(density_of_bit / 2)  # a clock moves twice
                energy = energy.plus(moving, Energy(0.0, 0.0, tree.energy.leakage_fj))
                area, count = area + tree.area_um2, count + sum(tree.levels)
        return PartCost(area, count, 0.0, 0.0, (energy, energy), (0.0, 0.0))

    def part(self, model: PowerModel, activity: Activity, copies: float = 1.0) -> PartCost:
        """Cost of a simulated netlist."""
        netlist = model.netlist
        glitching = with_glitches(activity, Delays.NLDM, model.timing)
        zero, nldm = (model.report(one).total.scaled(copies) for one in (activity, glitching))
        return PartCost(
            copies * netlist.area_um2, copies * (len(netlist.gates) + len(netlist.flops)), copies * len(netlist.flops),
            model.timing.delay_ps, (zero, nldm), (copies * pin_toggles(activity), copies * pin_toggles(glitching)),
        )  # fmt: skip

    def _density(self, name: str) -> np.ndarray:
        activity = self.front[1]
        return activity.density[list(activity.netlist.ports[name][1])]

    def _simulated(
        self, part: LutNetFront | ConditionalSums | OutputWord, ports: dict[str, np.ndarray]
    ) -> tuple[PowerModel, Activity]:
        model = power_model(self._mapped(part), self.liberty, self.clock_ps)
        known = {name: words for name, words in ports.items() if name in model.netlist.ports}
        # Registers that hold their value settle one after another: each round is right for one more cycle.
        depth = self.count + CYCLES_OF_REGISTERS
        return model, simulate(model.netlist, known, settle=self.filling * self.cycles, depth=depth)

    def _mapped(self, part: LutNetFront | ConditionalSums | OutputWord) -> Synthesis:
        return synthesise(to_verilog(part, "part"), "part", self.liberty, clock_ps=self.clock_ps)


def _together(parts: Sequence[PartCost]) -> PartCost:
    area, gates, flops = (sum(getattr(one, x) for one in parts) for x in ("area_um2", "gates", "flops"))
    energies = [NO_ENERGY.plus(*(one.energy[k] for one in parts)) for k in (0, 1)]
    toggles = [sum(one.pin_toggles[k] for one in parts) for k in (0, 1)]
    return PartCost(
        area, gates, flops, max(one.delay_ps for one in parts), (energies[0], energies[1]), (toggles[0], toggles[1])
    )
