"""An array composed from its parts: energy, area and clock tree of any columns of cells.

Checked against flat synthesis by ``flat``. Elements at the edges lack what synthesis removes there:
the top row adds nothing, the last column passes no activation, constant and ignored bits have no registers.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from slipstick.errors import UnknownName, UserError
from slipstick.flow.library.liberty import Liberty
from slipstick.flow.power.delays import Delays
from slipstick.rtl.spec.streams import TileStream

from .clock_tree import MAX_FANOUT, NO_TREE, ClockTree, clock_tree
from .element import CellCost, Element
from .figures import ArrayEnergy
from .mac import EnergyPerMac
from .modules import used_bits
from .surroundings import Peripheral, PeripheralCost, Surroundings, measure, surroundings
from .wires import WIRES, WireModel

Mix = str | Sequence[str]
"""A cell name for the whole array, or one name a column."""


@dataclass(frozen=True)
class ArrayModel:
    """Arrays of R x C elements with one cell a column, on a network's recorded streams, in one library and clock.

    ``streams`` are weight tiles by layer, ``elements`` the mapped cells by name.
    """

    liberty: Liberty
    clock_mhz: float
    rows: int
    columns: int
    streams: dict[str, tuple[TileStream, ...]]
    elements: dict[str, Element]
    requantiser: Peripheral | None = field(default=None, kw_only=True)
    rows_per_tile: Mapping[str, float] = field(default_factory=dict, kw_only=True)
    wires: WireModel = field(default=WIRES, kw_only=True)
    clock_fanout: int | None = field(default=MAX_FANOUT, kw_only=True)
    delays: Delays = field(default=Delays.ZERO, kw_only=True)
    _energies: dict[tuple[str, str], EnergyPerMac] = field(default_factory=dict, repr=False, kw_only=True)
    _surroundings: dict[tuple[str, str], Surroundings] = field(default_factory=dict, repr=False, kw_only=True)
    _trees: dict[tuple[str, ...], ClockTree] = field(default_factory=dict, repr=False, kw_only=True)
    _present: dict[tuple[tuple[str, ...], str], dict[str, float]] = field(
        default_factory=dict, repr=False, kw_only=True
    )

    @property
    def clock_ps(self) -> float:
        """Clock period."""
        return 1e6 / self.clock_mhz

    def element(self, name: str) -> Element:
        """The processing element of a cell, or of BASELINE; UnknownName shows near names."""
        if name not in self.elements:
            raise UnknownName("cell of the cost model", name, self.elements)
        return self.elements[name]

    def cell_cost(self, name: str) -> CellCost:
        """Area, delay and gates of a cell."""
        return self.element(name).cost

    def energy_per_mac(self, name: str, layer: str) -> EnergyPerMac:
        """Energy of one MAC of a cell on a layer's streams."""
        key = (name, layer)
        if key not in self._energies:
            self._energies[key] = self.element(name).energy(self._tiles(layer), rows=self.rows)
        return self._energies[key]

    def edges_and_elements(self, mix: Mix, layer: str) -> tuple[float, float]:
        """Area in um2 and energy per MAC in fJ of elements and skew registers alone, as ``SystolicArray`` has them."""
        names = self._column_names(mix)
        around = [self._around(name, layer) for name in names]
        beside = self._around(names[0], layer).control.area_um2 + sum(one.accumulate.area_um2 for one in around)
        if self._requantiser_cost:
            beside += self.columns * self._requantiser_cost.area_um2
        bare = self._array_energy(names, layer, beside=False)
        return self.array_area_um2(mix) - beside, bare.total_fj

    def array_energy(self, mix: Mix, layer: str) -> ArrayEnergy:
        """Energy per MAC of an array with one cell a column on a layer's streams.

        A tile costs R cycles to load its weights, one a row, and R + C cycles in which the pipeline
        empties: weights must not move before the last sums have left.
        """
        return self._array_energy(self._column_names(mix), layer)

    def _array_energy(self, names: tuple[str, ...], layer: str, *, beside: bool = True) -> ArrayEnergy:
        """``beside``: with accumulators and control."""
        active, drain = self._rows_per_tile(layer), self.rows + self.columns
        parts = dict.fromkeys(ArrayEnergy.__dataclass_fields__, 0.0)
        wire = 0.5 * self.liberty.voltage_v**2  # fJ a fF
        size = self.rows * self.columns

        def add(part: str, cost: PeripheralCost, count: float, wire_ff: float) -> None:
            """``count`` registers or adders of the whole array."""
            share = count / size
            parts[part] += share * cost.active.total_fj
            # Measured between tiles of a square array: 3 R cycles, of which 2 R drain.
            passing = 3 * self.rows * cost.waiting.total_fj - 2 * self.rows * cost.idle.total_fj
            parts["load_fj"] += share * passing / active
            parts["idle_fj"] += share * drain * cost.idle.total_fj / active
            moved = cost.pin_toggles[0] + 3 * self.rows * cost.pin_toggles[1] / active
            parts["wires_fj"] += share * wire * wire_ff * moved

        for name, count in Counter(names).items():
            energy, around = self.energy_per_mac(name, layer), self._around(name, layer)
            wire_ff = self._wire_ff(name)
            share = count / self.columns
            stages = sum(self.columns - 1 - c for c, one in enumerate(names) if one == name)
            present = self._presence(names, name)
            own = energy.parts_of(energy.groups, present)
            for part, value in own.items():
                parts[f"{part.replace(' ', '_')}_fj"] += share * value
            load = sum(energy.parts_of(energy.load_groups, present).values())
            idle = sum(energy.parts_of(energy.idle_groups, present).values())
            parts["load_fj"] += share * load * self.rows / active
            parts["idle_fj"] += share * idle * drain / active
            whole_element = sum(own.values()) / energy.pe_fj
            moved = energy.pin_toggles + energy.load_pin_toggles * self.rows / active
            parts["wires_fj"] += share * wire * wire_ff * whole_element * moved
            add("skew_fj", around.deskew, stages, wire_ff)
            if beside:
                add("accumulate_fj", around.accumulate, count, wire_ff)
        around = self._around(self._widest(names), layer)
        add("skew_fj", around.skew, self.rows * (self.rows - 1) / 2, self._wire_ff(names[0]))
        if beside:
            cycles = (active + self.rows + drain) / active
            parts["control_fj"] = around.control.active.total_fj * cycles / size
        return ArrayEnergy(**parts)

    def idle_cycle_fj(self, mix: Mix, layer: str) -> tuple[float, float]:
        """Energy of a whole array in a cycle in which nothing moves: its gates, and its clock tree."""
        names = self._column_names(mix)
        total = 0.0
        for c, name in enumerate(names):
            energy, around = self.energy_per_mac(name, layer), self._around(name, layer)
            present = self._presence(names, name)
            total += self.rows * sum(energy.parts_of(energy.idle_groups, present).values())
            total += (self.columns - 1 - c) * around.deskew.idle.total_fj + around.accumulate.idle.total_fj
        around = self._around(self._widest(names), layer)
        total += self.rows * (self.rows - 1) / 2 * around.skew.idle.total_fj + around.control.active.total_fj
        if self._requantiser_cost:
            total += self.columns * self._requantiser_cost.idle.total_fj
        return total, self.clock_tree(mix).energy.total_fj

    def clock_tree(self, mix: Mix) -> ClockTree:
        """The clock tree of an array and its requantisers; empty where the model has none."""
        names = self._column_names(mix)
        if self.clock_fanout is None or not self.liberty.buffers:
            return NO_TREE
        if names not in self._trees:
            layer = next(iter(self.streams))
            widest = self._around(self._widest(names), layer)
            flops = self.rows * (self.rows - 1) / 2 * widest.skew.flops + widest.control.flops
            for c, name in enumerate(names):
                present = self._presence(names, name)
                flops += self.rows * sum(count * present[group] for group, count in self.element(name).flops.items())
                flops += (self.columns - 1 - c) * self._around(name, layer).deskew.flops
            if self._requantiser_cost:
                flops += self.columns * self._requantiser_cost.flops
            netlist = self.element(names[0]).pe_power.netlist
            sink_ff = sum(netlist.load_ff[net] for net in netlist.clock_nets) / len(netlist.flops)
            self._trees[names] = clock_tree(
                self.liberty, round(flops), float(sink_ff), self.clock_ps,
                wire_ff_per_fanout=self._wire_ff(names[0]), max_fanout=self.clock_fanout,
            )  # fmt: skip
        return self._trees[names]

    def array_area_um2(self, mix: Mix) -> float:
        """Area of the array: elements, skew registers, accumulator adders, control, one requantiser a column."""
        names = self._column_names(mix)
        layer = next(iter(self.streams))
        around = [self._around(name, layer) for name in names]
        area = sum(self.rows * self._present_area_um2(names, name) for name in names)
        widest = self._around(self._widest(names), layer)
        area += self.rows * (self.rows - 1) / 2 * widest.skew.area_um2 + widest.control.area_um2
        area += sum((self.columns - 1 - c) * one.deskew.area_um2 for c, one in enumerate(around))
        area += sum(one.accumulate.area_um2 for one in around)
        return area + (self.columns * self._requantiser_cost.area_um2 if self._requantiser_cost else 0.0)

    def _present_area_um2(self, names: tuple[str, ...], name: str) -> float:
        """Area of an element, mean over those of its cell."""
        present = self._presence(names, name)
        return sum(present[group] * area for group, area in self.element(name).group_area_um2.items() if area)

    def _presence(self, names: tuple[str, ...], name: str) -> dict[str, float]:
        """Share of the elements of ``name`` that have each group, in an array with these columns."""
        key = (names, name)
        if key not in self._present:
            masks = {one: used_bits(self.element(one).cell)[0] for one in set(names)}
            after = [0] * len(names)  # bits that any later column reads
            for column in range(len(names) - 2, -1, -1):
                after[column] = after[column + 1] | masks[names[column + 1]]
            own = [column for column, one in enumerate(names) if one == name]
            passing, unused = (
                sum(bool(after[column] & mask) for column in own) / len(own)
                for mask in (masks[name], 0xFF & ~masks[name])
            )
            self._present[key] = self.element(name).presence(self.rows, passing, unused)
        return self._present[key]

    def _widest(self, names: tuple[str, ...]) -> str:
        """The cell that reads most bits of an activation: the skew registers keep them."""
        return max(names, key=lambda name: used_bits(self.element(name).cell)[0].bit_count())

    def _wire_ff(self, name: str) -> float:
        element = self.element(name)
        return self.wires.ff_per_fanout(element.pe.area_um2 / element.pe.gate_count)

    def _tiles(self, layer: str) -> tuple[TileStream, ...]:
        if layer not in self.streams:
            raise UnknownName("layer of the cost model", layer, self.streams)
        return self.streams[layer]

    def _rows_per_tile(self, layer: str) -> float:
        tiles = self._tiles(layer)
        return self.rows_per_tile.get(layer, sum(len(tile.activations) for tile in tiles) / len(tiles))

    def _column_names(self, mix: Mix) -> tuple[str, ...]:
        names = (mix,) * self.columns if isinstance(mix, str) else tuple(mix)
        if len(names) != self.columns:
            raise UserError(f"the mix names {len(names)} columns, the array has {self.columns}")
        return names

    def _around(self, name: str, layer: str) -> Surroundings:
        key = (name, layer)
        if key not in self._surroundings:
            element = self.element(name)
            self._surroundings[key] = surroundings(
                self._tiles(layer), element.cell, element.sum_width, self.rows, self.liberty, self.clock_ps, self.delays
            )
        return self._surroundings[key]

    @cached_property
    def _requantiser_cost(self) -> PeripheralCost | None:
        return measure(self.requantiser, self.liberty, self.clock_ps, self.delays) if self.requantiser else None
