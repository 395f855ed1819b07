"""The cost model that the search and the report use: area, delay and energy per inference.

Four levels always stand together: multipliers alone, processing elements, the whole array, and all that
one inference takes. A saving is stated against the exact design of least energy at that level that the
same flow finds.

    model = CostModel.build(cells, streams_by_layer, clock_mhz=100)
    model.inference_energy({"blocks.0.mlp.fc1": "drum8s_k4"}, macs).saving.pe
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from slipstick.errors import UnknownName, UserError
from slipstick.flow.library.liberty import Liberty, default_liberty
from slipstick.flow.power.activity import DELAY_MODEL
from slipstick.flow.power.synth import synthesise_all, tool_versions
from slipstick.rtl.cells.cell import Cell
from slipstick.rtl.spec.streams import TileStream

from .baseline import BASELINE, ExactBaseline, build_element, element_designs, exact_baseline
from .clock_tree import MAX_FANOUT, NO_TREE, ClockTree, clock_tree
from .element import CellCost, Element
from .figures import LEVELS, ArrayEnergy, InferenceEnergy, LayerFigures, Levels
from .mac import EnergyPerMac
from .modules import used_bits
from .surroundings import Peripheral, PeripheralCost, Surroundings, measure, surroundings
from .timeline import drain_cycles, tile_cycles
from .wires import WIRES, WireModel

CLOCK_MHZ = 100.0
"""Default clock: the exact element meets it in SG13G2 with more than half of the period to spare."""
Progress = Callable[[int, int, str], None]
Mix = str | Sequence[str]
"""A cell name for the whole array, or one name a column."""


def cell_cost(cell: Cell, liberty: Liberty | None = None, clock_mhz: float = CLOCK_MHZ, *, rows: int = 16) -> CellCost:
    """Area, delay and gate count of a signed 8 x 8 cell, alone and in a processing element."""
    return _elements([cell], liberty or default_liberty(), clock_mhz, rows)[cell.name].cost


def energy_per_mac(
    cell: Cell,
    streams: Sequence[TileStream],
    liberty: Liberty | None = None,
    clock_mhz: float = CLOCK_MHZ,
    *,
    rows: int = 16,
) -> EnergyPerMac:
    """Energy of one MAC of a signed 8 x 8 cell on the streams of one layer."""
    return _elements([cell], liberty or default_liberty(), clock_mhz, rows)[cell.name].energy(streams, rows=rows)


def _elements(
    cells: Sequence[Cell], liberty: Liberty, clock_mhz: float, rows: int, progress: Progress | None = None
) -> dict[str, Element]:
    designs = (design for cell in cells for design in element_designs(cell.name, cell, rows))
    clock_ps = 1e6 / clock_mhz
    mapped = synthesise_all(designs, liberty, clock_ps=clock_ps, total=2 * len(cells), progress=progress)
    return {cell.name: build_element(cell.name, cell, rows, mapped, liberty, clock_ps) for cell in cells}


@dataclass(frozen=True)
class CostModel:
    """Costs of a set of cells on a network's recorded streams, in one array size, library and clock."""

    liberty: Liberty
    clock_mhz: float
    rows: int
    columns: int
    streams: dict[str, tuple[TileStream, ...]]
    elements: dict[str, Element]
    baseline: ExactBaseline
    requantiser: Peripheral | None = None
    rows_per_tile: Mapping[str, float] = field(default_factory=dict)
    wires: WireModel = WIRES
    clock_fanout: int | None = MAX_FANOUT
    _energies: dict[tuple[str, str], EnergyPerMac] = field(default_factory=dict, repr=False)
    _surroundings: dict[tuple[str, str], Surroundings] = field(default_factory=dict, repr=False)
    _exact: dict[tuple[Any, ...], tuple[dict[str, Levels], dict[str, LayerFigures]]] = field(
        default_factory=dict, repr=False
    )
    _trees: dict[tuple[str, ...], ClockTree] = field(default_factory=dict, repr=False)
    _present: dict[tuple[tuple[str, ...], str], dict[str, float]] = field(default_factory=dict, repr=False)

    @classmethod
    def build(
        cls,
        cells: Sequence[Cell],
        streams: Mapping[str, TileStream | Sequence[TileStream]],
        *,
        liberty: Liberty | None = None,
        clock_mhz: float = CLOCK_MHZ,
        rows: int = 16,
        columns: int = 16,
        requantiser: Peripheral | None = None,
        rows_per_tile: Mapping[str, float] | None = None,
        wires: WireModel = WIRES,
        clock_fanout: int | None = MAX_FANOUT,
        progress: Progress | None = None,
    ) -> "CostModel":
        """Synthesise the cells and the exact baseline, and check every mapped cell against its table.

        ``streams`` are recorded weight tiles by layer, at most R x C each. ``rows_per_tile`` tells how
        many rows stream past a tile before the next is loaded, where the recorded tiles hold only a
        part of them. ``wires`` and ``clock_fanout``, the most pins that a clock buffer drives (None for
        no clock tree), count at the level of the inference. ``progress(done, total, name)`` counts
        syntheses. Energies are simulated when first asked for. Raises UserError for cells that are not
        signed 8 x 8, tiles that do not fit, and a clock that no exact element reaches.
        """
        liberty = liberty or default_liberty()
        tiles = {layer: (one,) if isinstance(one, TileStream) else tuple(one) for layer, one in streams.items() if one}
        if not tiles:
            raise UserError("the cost model needs the operand streams of at least one layer")
        for layer, group in tiles.items():
            for tile in group:
                if tile.weights.shape[0] > rows or tile.weights.shape[1] > columns:
                    raise UserError(
                        f"a tile of layer {layer!r} is {' x '.join(map(str, tile.weights.shape))}, "
                        f"the array {rows} x {columns}"
                    )
        if len({cell.name for cell in cells}) != len(cells):
            raise UserError("two of the cells have the same name")
        baseline = exact_baseline(liberty, clock_mhz, tiles, rows=rows)
        exact = {f"{BASELINE}: {element.name}": element for element in baseline.elements}
        elements = _elements(cells, liberty, clock_mhz, rows, progress)
        every = {**elements, **exact, BASELINE: baseline.element}
        return cls(
            liberty, clock_mhz, rows, columns, tiles, every, baseline, requantiser, dict(rows_per_tile or {}),
            wires, clock_fanout,
        )  # fmt: skip

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

    def inference_fj(self, mix: Mix, layer: str) -> float:
        """Energy per MAC of all that an inference takes on a layer, clock tree and wires by their models."""
        return self._layer(mix, layer, _Counts(1_000_000, 1_000_000, 0))[0].inference  # nJ of a million

    def layer_figures(self, mix: Mix, layer: str, macs: int, outputs: int) -> LayerFigures:
        """Everything that a layer of ``macs`` (padding included) and ``outputs`` takes in one inference."""
        return self._layer(mix, layer, _Counts(macs, macs, outputs))[1]

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

    def inference_energy(
        self,
        assignment: Mapping[str, Mix],
        macs: Mapping[str, int],
        requantisations: Mapping[str, int] | None = None,
        useful_macs: Mapping[str, int] | None = None,
    ) -> InferenceEnergy:
        """Energy of one inference of an assignment layer -> cell (or one cell a column).

        ``macs`` are multiply-accumulates by layer, those of padding included, ``useful_macs`` without;
        ``requantisations`` the outputs by layer, for a model with a requantiser. Layers of ``macs`` without
        an assignment run on the exact baseline. UserError for a layer whose streams were not given.
        """
        unknown = set(assignment) - set(macs)
        if unknown:
            raise UnknownName("layer of the assignment", sorted(unknown)[0], macs)
        counts = {
            layer: _Counts(count, (useful_macs or macs)[layer], (requantisations or {}).get(layer, 0))
            for layer, count in macs.items()
        }
        own = {layer: self._layer(assignment.get(layer, BASELINE), layer, one) for layer, one in counts.items()}
        key = (self.columns, *sorted(counts.items()))
        if key not in self._exact:
            self._exact[key] = self._best_exact(counts)
        exact, exact_details = self._exact[key]
        requantise_nj = 0.0
        if self._requantiser_cost and requantisations:
            requantise_nj = self._requantiser_cost.active.total_fj * sum(requantisations.values()) * 1e-6
        levels = {layer: one[0] for layer, one in own.items()}
        return InferenceEnergy(
            _sum(levels, requantise_nj), levels, _sum(exact, requantise_nj), exact, requantise_nj, self.notes,
            {layer: one[1] for layer, one in own.items()}, exact_details,
        )  # fmt: skip

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """Corner, clock, tools, and what the figures leave out."""
        slow = [name for name, one in self.elements.items() if one.cost.pe_delay_ps > self.clock_ps]
        size, count = f"{self.rows} x {self.columns} elements", len(self.baseline.candidates)
        missing = "accumulator and operand memories" + ("" if self.requantiser else ", requantisers")
        tree = f"buffers of at most {self.clock_fanout} pins" if self.clock_fanout else "none"
        tree = tree if self.liberty.buffers else "none: the library has no buffer"
        return (
            f"{self.liberty.describe()}, {self.clock_mhz:g} MHz, {size}, {tool_versions()}",
            f"activity: {DELAY_MODEL}, recorded operands of {len(self.streams)} layers",
            f"exact baseline: {self.baseline.chosen}, the best of {count} exact designs over whole tiles",
            "savings: against the best exact design at each level",
            "multiplier, processing element and array: mapped gates, without wires and clock tree",
            f"inference: requantisers, drains and idle cycles too; wires: {self.wires.describe()}; clock tree: {tree}",
            f"not included: {missing}",
            *([f"slower than the clock: {', '.join(slow)}"] if slow else []),
        )

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
                self._tiles(layer), element.cell, element.sum_width, self.rows, self.liberty, self.clock_ps
            )
        return self._surroundings[key]

    @cached_property
    def _requantiser_cost(self) -> PeripheralCost | None:
        return measure(self.requantiser, self.liberty, self.clock_ps) if self.requantiser else None

    def _layer(self, mix: Mix, layer: str, counts: "_Counts") -> tuple[Levels, LayerFigures]:
        names = self._column_names(mix)
        energies = [self.energy_per_mac(name, layer) for name in names]
        scale = counts.macs * 1e-6  # fJ to nJ
        array = self.array_energy(mix, layer)
        details = self._details(mix, layer, counts, array)
        return Levels(
            scale * sum(energy.multiplier_fj for energy in energies) / len(names),
            scale * sum(energy.pe_fj for energy in energies) / len(names),
            scale * array.total_fj,
            details.energy_nj,
        ), details

    def _details(self, mix: Mix, layer: str, counts: "_Counts", array: ArrayEnergy) -> LayerFigures:
        """Everything for a layer: its tiles, then a drain of every accumulator row through the requantisers."""
        active, size = self._rows_per_tile(layer), self.rows * self.columns
        drained = counts.outputs / self.columns
        extra = drain_cycles(self.columns, active) * drained / active
        cycles = counts.macs / (size * active) * tile_cycles(self.rows, self.columns, active) + extra
        parts = {name.removesuffix("_fj"): value * counts.macs for name, value in vars(array).items()}
        idle, tree = self.idle_cycle_fj(mix, layer)
        resting = self.columns * self._requantiser_cost.idle.total_fj if self._requantiser_cost else 0.0
        parts["idle"] += (idle - resting) * extra
        requantise = 0.0
        if self._requantiser_cost:
            requantise = self._requantiser_cost.active.total_fj * counts.outputs + resting * (cycles - drained)
            wire = 0.5 * self.liberty.voltage_v**2 * self._wire_ff(self._column_names(mix)[0])
            parts["wires"] += wire * self._requantiser_cost.pin_toggles[0] * counts.outputs
        parts |= {"requantise": requantise, "clock_tree": tree * cycles}
        nj = {name: 1e-6 * value for name, value in parts.items()}
        return LayerFigures(nj, counts.macs, counts.useful, cycles, size, self.clock_mhz)

    def _best_exact(self, counts: Mapping[str, "_Counts"]) -> tuple[dict[str, Levels], dict[str, LayerFigures]]:
        """At each level, the layers of the exact candidate whose total is least; details of the inference's."""
        names = [f"{BASELINE}: {element.name}" for element in self.baseline.elements]
        found = [{layer: self._layer(name, layer, one) for layer, one in counts.items()} for name in names]

        def best(level: str) -> dict[str, tuple[Levels, LayerFigures]]:
            return min(found, key=lambda one: sum(getattr(part[0], level) for part in one.values()))

        by_level = {level: best(level) for level in LEVELS}
        levels = {layer: Levels(**{x: getattr(by_level[x][layer][0], x) for x in LEVELS}) for layer in counts}
        return levels, {layer: one[1] for layer, one in by_level["inference"].items()}


class _Counts(NamedTuple):
    """What a layer does in one inference."""

    macs: int
    useful: int
    outputs: int


def _sum(layers: Mapping[str, Levels], requantise_nj: float) -> Levels:
    total = {level: sum(getattr(part, level) for part in layers.values()) for level in LEVELS}
    return Levels(**total | {"array": total["array"] + requantise_nj})
