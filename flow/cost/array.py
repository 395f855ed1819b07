"""The accelerator composed of its modules: energy of every layer, area, longest path, for any columns of cells.

Each emitted module is mapped once (``emitted``) and simulated on the words that its ports see in a pass of a recorded
tile (``timeline``); this file counts how many of each there are, and adds what no module holds: buffers of nets with
many pins, wires, the clock tree. ``flat`` checks the sum against one netlist of the whole mesh.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from slipstick.rtl.array.banks import grouped
from slipstick.rtl.array.dot_column import kept_encoded
from slipstick.rtl.cells.dot_form import dot_form, shared_encoding
from slipstick.rtl.spec.beats import CONSTANT_BITS, CONSTANTS, OF_COLUMN
from slipstick.rtl.spec.cycles import Passes, passes
from slipstick.rtl.spec.machine import AcceleratorConfig

from .beside import tags_stimulus
from .buffer_tree import MAX_FANOUT, NO_TREE, BufferTree, buffer_tree
from .dot import BROADCAST, weight_table
from .figures import PARTS, PassEnergy
from .module_energies import Mix, ModuleEnergies
from .timeline import Pass
from .unit import CLOCK, Unit, UnitEnergy

ACTIVATIONS, WEIGHTS, CONTROL, WIRE = "activations", "weights", "control", "wires"


@dataclass(frozen=True)
class Placed:
    """``count`` units of one kind in an array, the part of the energy that they are, and what one takes in a cycle."""

    unit: Unit
    count: float
    energy: UnitEnergy
    part: str | None = None


@dataclass(frozen=True)
class ArrayModel(ModuleEnergies):
    """Accelerators composed of these modules."""

    def passes(self, mix: Mix, layer: str) -> Passes:
        """The passes of a layer in one inference."""
        return passes(self.config(mix), self.shape(layer))

    def pass_energy(self, mix: Mix, layer: str) -> PassEnergy:
        """Energy of a cycle of the whole array on a layer, by part, mean over its passes."""
        names = self.names(mix)
        key = ("pass", names, self.tile, self.columns, layer, self.delays)
        return self.keep(key, lambda: self._pass_energy(names, layer))

    def _pass_energy(self, names: tuple[str, ...], layer: str) -> PassEnergy:
        parts = dict.fromkeys(PARTS, 0.0)
        toggles = 0.0
        for one in self._placed(names, layer):
            for part, value in one.energy.parts.items():
                title = part if part == CLOCK else one.part or part
                parts[title] += one.count * value
            toggles += one.count * one.energy.toggles
        parts[BROADCAST] += self.broadcast_fj(names, layer)
        parts[WIRE] = 0.5 * self.liberty.voltage_v**2 * self._wire_ff(names) * toggles
        tree = self.clock_tree(names)
        return PassEnergy(parts | {"clock tree": tree.energy.total_fj})

    def _placed(self, names: tuple[str, ...], layer: str) -> Iterator[Placed]:
        """Every module with gates, and its energy in a cycle of the layer's passes."""
        config = self.config(names)
        yield from self.mesh_units(names, config, layer)
        run = passes(config, self.shape(layer))
        for width, count in Counter(config.sum_width(c) for c in range(self.columns)).items():
            unit = self.unit("column", width, config.accumulator_rows)
            inner, last = (self.column(unit, width, layer, is_last) for is_last in (False, True))
            share = np.array([run.count - run.last, run.last], float)
            yield Placed(unit, count, UnitEnergy.mean([inner, last], share))
        for bits, count in self._constant_banks(config).items():
            unit = self.unit("banks", bits)
            yield Placed(unit, count, self.resting_banks(unit, bits, layer), WEIGHTS)
        yield Placed(*self.control(config), CONTROL)
        lanes = sum(config.mesh[1] - 1 - c // config.tile_columns for c in range(self.columns))
        if lanes:
            unit = self.unit("register", 32)
            yield Placed(unit, lanes, self.resting_register(unit, 32, layer), "requantise")

    def mesh_units(self, names: tuple[str, ...], config: AcceleratorConfig, layer: str) -> Iterator[Placed]:
        """The modules of the mesh."""
        tile_rows = config.mesh[0]
        for name, count in Counter(names).items():
            yield Placed(self.dot(name).unit, tile_rows * count, self.dot_energy(name, layer))
            if kept_encoded(dot_form(self.cell(name))):
                unit = self.unit("encoder", shared_encoding([dot_form(self.cell(name)).weight]))
                yield Placed(unit, count, self.weight_encoder(unit, layer), WEIGHTS)
        for group, count in self._bank_groups(names).items():
            unit = self.unit("banks", sum(weight_table(self.cell(name)).shape[1] for name in group))
            yield Placed(unit, self.rows * count, self.weight_banks(unit, group, layer), WEIGHTS)
        encoding = self.encoding(names)
        unit = self.unit("encoder", encoding)
        yield Placed(unit, self.rows, self.activation_encoder(unit, layer), ACTIVATIONS)
        for bits in self._moved_bits(names):
            unit = self.unit("register", len(bits))
            yield Placed(unit, self.rows, self.activation_register(unit, names, bits, layer), ACTIVATIONS)
        skewed = self.rows * (tile_rows - 1) / 2
        if skewed:
            unit = self.unit("register", 8)
            yield Placed(unit, skewed, self.skew_register(unit, layer), ACTIVATIONS)
        unit = self.keep(("tags", config.mesh), lambda: self.setting.tags(config))
        working = Pass(self.tiles(layer)[0], config.mesh).working
        energy = self.keep(
            ("tags energy", config.mesh, len(working), self.delays),
            lambda: unit.energy(tags_stimulus(working), self.delays),
        )
        yield Placed(unit, 1, energy, CONTROL)

    def units(self, mix: Mix) -> dict[str, tuple[Unit, float]]:
        """Every mapped module of an accelerator and how often it stands in it, by name."""
        layer = next(layer for layer in self.streams if layer in self.shapes)
        found: dict[str, tuple[Unit, float]] = {}
        for one in self._placed(self.names(mix), layer):
            top = one.unit.synthesis.top
            found[top] = one.unit, found.get(top, (one.unit, 0.0))[1] + one.count
        return found

    def array_area_um2(self, mix: Mix) -> float:
        """Area of all modules, buffers of broadcast nets included, without memories and clock tree."""
        names = self.names(mix)
        area = sum(unit.area_um2 * count for unit, count in self.units(mix).values())
        return area + self.broadcast_area_um2(names)

    def delay_ps(self, name: str) -> float:
        """Longest path of the mesh: register, buffers, products, tree; with wires by their model."""
        dot = self.dot(name)
        entry = self.unit("register", len(self.encoding((name,)).netlist.outputs))
        trees = self._broadcast((name,) * self.columns)
        wire = self.wires.ff_per_fanout(dot.unit.area_um2 / dot.unit.gate_count)
        return dot.unit.delay_with_wires(wire) + entry.delay_ps + max((tree.delay_ps for _, tree in trees), default=0.0)

    def clock_tree(self, mix: Mix) -> BufferTree:
        """The clock tree of an accelerator; empty where the model has none."""
        names = self.names(mix)
        if self.clock_fanout is None or not self.liberty.buffers:
            return NO_TREE

        def build() -> BufferTree:
            pins = load = 0.0
            for unit, count in self.units(names).values():
                sinks, own = unit.clock_sinks
                pins, load = pins + count * sinks, load + count * own
            return buffer_tree(
                self.liberty, round(pins), load / pins, self.clock_ps, wire_ff_per_fanout=self._wire_ff(names),
                max_fanout=self.clock_fanout or MAX_FANOUT,
            )  # fmt: skip

        return self.keep(("clock tree", names, self.tile, self.columns), build)

    def resting_cycle_fj(self, mix: Mix) -> tuple[float, float]:
        """Energy of a cycle in which no beat comes: leakage and clock gates; and that of the clock tree."""
        rest = sum(count * unit.resting_fj for unit, count in self.units(mix).values())
        return rest, self.clock_tree(mix).energy.total_fj

    def _broadcast(self, names: tuple[str, ...]) -> list[tuple[int, BufferTree]]:
        """Place of every encoded bit that more pins read than a register drives, and its buffers, of one row."""
        return self.keep(("broadcast", names, self.tile), lambda: self._broadcast_trees(names))

    def _broadcast_trees(self, names: tuple[str, ...]) -> list[tuple[int, BufferTree]]:
        config, encoding = self.config(names), self.encoding(names)
        found = []
        pins, load = np.zeros(len(encoding.netlist.outputs)), np.zeros(len(encoding.netlist.outputs))
        order = list(dict.fromkeys(names))
        for name, places in zip(order, encoding.places, strict=True):
            netlist = self.dot(name).unit.power.netlist
            nets = list(netlist.ports["activations"][1])[: len(places)]
            share = names.count(name) * config.tile_columns / self.columns
            pins[list(places)] += share * netlist.fanout[nets]
            load[list(places)] += share * netlist.load_ff[nets]
        for place, (count, own) in enumerate(zip(pins, load, strict=True)):
            if count > MAX_FANOUT and self.liberty.buffers:
                tree = buffer_tree(
                    self.liberty, round(count), own / count, self.clock_ps, wire_ff_per_fanout=self._wire_ff(names),
                    leaf_wires=False,
                )  # fmt: skip
                found.append((place, tree))
        return found

    def broadcast_area_um2(self, names: tuple[str, ...]) -> float:
        """Area of the buffers of all broadcast nets."""
        return self.rows * self.mesh[1] * sum(tree.area_um2 for _, tree in self._broadcast(names))

    def broadcast_fj(self, names: tuple[str, ...], layer: str) -> float:
        """Energy of a cycle of the buffers of all broadcast nets."""
        trees = self._broadcast(names)
        if not trees:
            return 0.0
        every = self._moved_bits(names)[0]
        energy = self.activation_register(self.unit("register", len(every)), names, every, layer)
        density = energy.port_toggles["d"]
        return self.rows * self.mesh[1] * sum(tree.energy_at(density[place]) for place, tree in trees)

    def _moved_bits(self, names: tuple[str, ...]) -> list[tuple[int, ...]]:
        """Bits of an encoded activation before every tile column: all before the first, then those read from there."""
        encoding, order = self.encoding(names), list(dict.fromkeys(names))
        found = [tuple(range(len(encoding.netlist.outputs)))]
        for first in range(self.tile_columns, self.columns, self.tile_columns):
            read = {bit for name in names[first:] for bit in encoding.places[order.index(name)]}
            found.append(tuple(sorted(read)))
        return found

    def _bank_groups(self, names: tuple[str, ...]) -> Counter[tuple[str, ...]]:
        """Cells of the columns that share banks in a row of the array, and how many such groups there are."""
        found: Counter[tuple[str, ...]] = Counter()
        for first in range(0, self.columns, self.tile_columns):
            own = names[first : first + self.tile_columns]
            for group in grouped([weight_table(self.cell(name)).shape[1] for name in own]):
                found[tuple(own[i] for i in group)] += 1
        return found

    def _constant_banks(self, config: AcceleratorConfig) -> Counter[int]:
        """Bits of the banks of constants, and how many there are of these."""
        found: Counter[int] = Counter()
        for first in range(0, self.columns, config.tile_columns):
            widths = [config.sum_width(column) for column in range(first, first + config.tile_columns)]
            for name in OF_COLUMN:
                whole = widths if name == "bias" else [CONSTANT_BITS[name]] * len(widths)
                for index in range(CONSTANTS[name]):
                    bits = [min(8, max(0, width - 8 * index)) for width in whole]
                    found.update(sum(bits[i] for i in group) for group in grouped(bits))
        del found[0]  # sums of few bits need fewer bytes of bias
        return found

    def _wire_ff(self, names: tuple[str, ...]) -> float:
        unit = self.dot(names[0]).unit
        return self.wires.ff_per_fanout(unit.area_um2 / unit.gate_count)
