"""The accelerator composed of its modules: energy of every layer, area, longest path, for any columns of cells.

Each emitted module is mapped once (``emitted``) and simulated on the words that its ports see in a pass of a recorded
tile (``timeline``); this file counts how many of each there are, and adds what no module holds: buffers of nets with
many pins, wires, the clock tree. ``flat`` checks the sum against one netlist of the whole mesh.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from slipstick.errors import UnknownName, UserError
from slipstick.flow.library.liberty import Liberty
from slipstick.flow.power.delays import Delays
from slipstick.rtl.array.banks import grouped
from slipstick.rtl.array.dot_column import kept_encoded
from slipstick.rtl.cells.cell import Cell
from slipstick.rtl.cells.dot_form import Encoding, dot_form, shared_encoding
from slipstick.rtl.spec.array import ArrayConfig, CellMix
from slipstick.rtl.spec.beats import CONSTANT_BITS, CONSTANTS, OF_COLUMN, MatrixProduct
from slipstick.rtl.spec.cycles import Passes, Shape, passes
from slipstick.rtl.spec.machine import AcceleratorConfig
from slipstick.rtl.spec.streams import TileStream

from .beside import (
    COLUMNS,
    Setting,
    banks_energy,
    column_energy,
    control_energy,
    default_requant,
    encoder_energy,
    register_energy,
    spread,
    tags_energy,
)
from .buffer_tree import MAX_FANOUT, NO_TREE, BufferTree, buffer_tree
from .dot import BROADCAST, Dot, encoded_bits, weight_table
from .figures import PARTS, PassEnergy
from .timeline import Pass
from .unit import CLOCK, Unit, UnitEnergy, bits_of
from .wires import WIRES, WireModel

Mix = str | Sequence[str]
"""A cell name for the whole array, or one name a column."""
ACTIVATIONS, WEIGHTS, CONTROL, WIRE = "activations", "weights", "control", "wires"


@dataclass(frozen=True)
class Placed:
    """``count`` units of one kind in an array, the part of the energy that they are, and what one takes in a cycle."""

    unit: Unit
    count: float
    energy: UnitEnergy
    part: str | None = None


@dataclass(frozen=True)
class ArrayModel:
    """Arrays of R x C products in tiles of r x c, one cell a column, on a network's recorded streams.

    ``streams`` are weight tiles by layer, ``shapes`` what each layer multiplies, ``cells`` those that may be placed.
    """

    liberty: Liberty
    clock_mhz: float
    rows: int
    columns: int
    tile: tuple[int, int]
    cells: dict[str, Cell]
    streams: dict[str, tuple[TileStream, ...]]
    shapes: Mapping[str, Shape]
    accumulator_rows: int = field(default=256, kw_only=True)
    depth: int = field(default=64, kw_only=True)
    wires: WireModel = field(default=WIRES, kw_only=True)
    clock_fanout: int | None = field(default=MAX_FANOUT, kw_only=True)
    delays: Delays = field(default=Delays.ZERO, kw_only=True)
    _kept: dict[tuple[Any, ...], Any] = field(default_factory=dict, repr=False, kw_only=True)

    @property
    def clock_ps(self) -> float:
        """Clock period."""
        return 1e6 / self.clock_mhz

    @property
    def setting(self) -> Setting:
        """Library and clock of every unit."""
        return Setting(self.liberty, self.clock_ps)

    def config(self, mix: Mix) -> AcceleratorConfig:
        """The accelerator with these columns; tiles are narrowed to a width that divides it."""
        cells = [self.cell(name) for name in self.names(mix)]
        array = ArrayConfig(self.rows, self.columns, CellMix.by_column(cells, rows=self.rows, columns=self.columns))
        return AcceleratorConfig(array, self.tile[0], self.tile_columns, self.accumulator_rows, self.depth)

    @property
    def tile_columns(self) -> int:
        """Columns of a tile: those of ``tile``, or as many as divide a narrower array."""
        return max(n for n in range(1, min(self.tile[1], self.columns) + 1) if self.columns % n == 0)

    @property
    def mesh(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        return self.rows // self.tile[0], self.columns // self.tile_columns

    def cell(self, name: str) -> Cell:
        """A cell of the model; UnknownName shows near names."""
        if name not in self.cells:
            raise UnknownName("cell of the cost model", name, self.cells)
        return self.cells[name]

    def names(self, mix: Mix) -> tuple[str, ...]:
        """The cell of every column; UserError unless there is one for each."""
        names = (mix,) * self.columns if isinstance(mix, str) else tuple(mix)
        if len(names) != self.columns:
            raise UserError(f"the mix names {len(names)} columns, the array has {self.columns}")
        return names

    def dot(self, name: str) -> Dot:
        """The dot column of a cell."""
        cell = self.cell(name)
        width = _uniform(cell, self.rows).accumulator_width(0, self.depth)
        key = ("dot", cell.digest, self.tile[0], width)
        return self._keep(key, lambda: Dot.build(cell, self.tile[0], width, self.liberty, self.clock_ps))

    def dot_energy(self, name: str, layer: str) -> UnitEnergy:
        """Energy of a cycle of a dot column on a layer's streams."""
        key = ("dot energy", self.cell(name).digest, layer, self.mesh, self.delays)
        return self._keep(key, lambda: self.dot(name).energy(self._tiles(layer), self.mesh, self.delays))

    def passes(self, mix: Mix, layer: str) -> Passes:
        """The passes of a layer in one inference."""
        return passes(self.config(mix), self._shape(layer))

    def pass_energy(self, mix: Mix, layer: str) -> PassEnergy:
        """Energy of a cycle of the whole array on a layer, by part, mean over its passes."""
        names = self.names(mix)
        key = ("pass", names, self.tile, self.columns, layer, self.delays)
        return self._keep(key, lambda: self._pass_energy(names, layer))

    def _pass_energy(self, names: tuple[str, ...], layer: str) -> PassEnergy:
        parts = dict.fromkeys(PARTS, 0.0)
        toggles = 0.0
        for one in self._placed(names, layer):
            for part, value in one.energy.parts.items():
                title = part if part == CLOCK else one.part or part
                parts[title] += one.count * value
            toggles += one.count * one.energy.toggles
        parts[BROADCAST] += self._broadcast_fj(names, layer)
        parts[WIRE] = 0.5 * self.liberty.voltage_v**2 * self._wire_ff(names) * toggles
        tree = self.clock_tree(names)
        return PassEnergy(parts | {"clock tree": tree.energy.total_fj})

    def _placed(self, names: tuple[str, ...], layer: str) -> Iterator[Placed]:
        """Every module with gates, and its energy in a cycle of the layer's passes."""
        config = self.config(names)
        yield from self.mesh_units(names, config, layer)
        run = passes(config, self._shape(layer))
        for width, count in Counter(config.sum_width(c) for c in range(self.columns)).items():
            unit = self._unit("column", width, config.accumulator_rows)
            inner, last = (self._column(unit, width, layer, is_last) for is_last in (False, True))
            share = np.array([run.count - run.last, run.last], float)
            yield Placed(unit, count, UnitEnergy.mean([inner, last], share))
            for bits in self._constant_banks(config, width):
                unit = self._unit("banks", bits)
                yield Placed(unit, count / self.columns, self._resting_banks(unit, bits, layer), WEIGHTS)
        yield Placed(*self._control(config), CONTROL)
        lanes = sum(config.mesh[1] - 1 - c // config.tile_columns for c in range(self.columns))
        if lanes:
            unit = self._unit("register", 32)
            yield Placed(unit, lanes, self._resting_register(unit, 32, layer), "requantise")

    def mesh_units(self, names: tuple[str, ...], config: AcceleratorConfig, layer: str) -> Iterator[Placed]:
        """The modules of the mesh."""
        tile_rows, tile_columns = config.mesh
        for name, count in Counter(names).items():
            yield Placed(self.dot(name).unit, tile_rows * count, self.dot_energy(name, layer))
            for columns, groups in self._bank_groups(name, config, count).items():
                unit = self._unit("banks", columns * weight_table(self.cell(name)).shape[1])
                energy = self._weight_banks(unit, name, columns, layer)
                yield Placed(unit, self.rows * groups, energy, WEIGHTS)
            if kept_encoded(dot_form(self.cell(name))):
                unit = self._unit("encoder", shared_encoding([dot_form(self.cell(name)).weight]))
                yield Placed(unit, count, self._weight_encoder(unit, layer), WEIGHTS)
        encoding = self._encoding(names)
        unit = self._unit("encoder", encoding)
        yield Placed(unit, self.rows, self._activation_encoder(unit, layer), ACTIVATIONS)
        width = len(encoding.netlist.outputs)
        unit = self._unit("register", width)
        yield Placed(unit, self.rows * tile_columns, self._activation_register(unit, names, layer), ACTIVATIONS)
        skewed = self.rows * (tile_rows - 1) / 2
        if skewed:
            unit = self._unit("register", 8)
            yield Placed(unit, skewed, self._skew_register(unit, layer), ACTIVATIONS)
        unit = self._keep(("tags", config.mesh), lambda: self.setting.tags(config))
        working = Pass(self._tiles(layer)[0], config.mesh).working
        energy = self._keep(
            ("tags energy", config.mesh, len(working), self.delays), lambda: tags_energy(unit, working, self.delays)
        )
        yield Placed(unit, 1, energy, CONTROL)

    def units(self, mix: Mix) -> dict[str, tuple[Unit, float]]:
        """Every mapped module of an accelerator and how often it stands in it, by name."""
        layer = next(iter(self.streams))
        found: dict[str, tuple[Unit, float]] = {}
        for one in self._placed(self.names(mix), layer):
            top = one.unit.synthesis.top
            found[top] = one.unit, found.get(top, (one.unit, 0.0))[1] + one.count
        return found

    def array_area_um2(self, mix: Mix) -> float:
        """Area of all modules, buffers of broadcast nets included, without memories and clock tree."""
        names = self.names(mix)
        area = sum(unit.area_um2 * count for unit, count in self.units(mix).values())
        return area + sum(tree.area_um2 for _, tree in self._broadcast(names)) * self.rows

    def delay_ps(self, name: str) -> float:
        """Longest path of the mesh: register, buffers, products, tree; with wires by their model."""
        dot = self.dot(name)
        entry = self._unit("register", len(self._encoding((name,)).netlist.outputs))
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

        return self._keep(("clock tree", names, self.tile, self.columns), build)

    def resting_cycle_fj(self, mix: Mix) -> tuple[float, float]:
        """Energy of a cycle in which no beat comes: leakage and clock gates; and that of the clock tree."""
        rest = sum(count * unit.resting_fj for unit, count in self.units(mix).values())
        return rest, self.clock_tree(mix).energy.total_fj

    def _broadcast(self, names: tuple[str, ...]) -> list[tuple[int, BufferTree]]:
        """Place of every encoded bit that more pins read than a register drives, and its buffers, of one row."""
        return self._keep(("broadcast", names, self.tile), lambda: self._broadcast_trees(names))

    def _broadcast_trees(self, names: tuple[str, ...]) -> list[tuple[int, BufferTree]]:
        config, encoding = self.config(names), self._encoding(names)
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
                    self.liberty, round(count), own / count, self.clock_ps, wire_ff_per_fanout=self._wire_ff(names)
                )
                found.append((place, tree))
        return found

    def _broadcast_fj(self, names: tuple[str, ...], layer: str) -> float:
        trees = self._broadcast(names)
        if not trees:
            return 0.0
        unit = self._unit("register", len(self._encoding(names).netlist.outputs))
        density = self._activation_register(unit, names, layer).port_toggles["d"]
        tiles = self.config(names).mesh[1]
        return self.rows * tiles * sum(tree.energy_at(density[place]) for place, tree in trees)

    def _encoding(self, names: tuple[str, ...]) -> Encoding:
        order = tuple(dict.fromkeys(names))
        return self._keep(
            ("encoding", *(self.cell(name).digest for name in order)),
            lambda: shared_encoding([dot_form(self.cell(name)).activation for name in order]),
        )

    def _bank_groups(self, name: str, config: AcceleratorConfig, count: int) -> dict[int, float]:
        """How many groups of how many columns of a cell share banks, in one row of the array."""
        width = weight_table(self.cell(name)).shape[1]
        groups = Counter(len(group) for group in grouped([width] * config.tile_columns))
        return {size: number * count / config.tile_columns for size, number in groups.items()}

    def _constant_banks(self, config: AcceleratorConfig, width: int) -> list[int]:
        """Bits of the banks of constants of all columns, as if all were of this width."""
        found = []
        for name in OF_COLUMN:
            whole = width if name == "bias" else CONSTANT_BITS[name]
            for index in range(CONSTANTS[name]):
                bits = min(8, whole - 8 * index)
                if bits > 0:
                    groups = grouped([bits] * config.tile_columns)
                    found += [bits * len(group) for group in groups] * config.mesh[1]
        return found

    def _weight_banks(self, unit: Unit, name: str, columns: int, layer: str) -> UnitEnergy:
        table = weight_table(self.cell(name))

        def measure() -> UnitEnergy:
            words, writes, first = [], [], []
            for stream in self._tiles(layer):
                one = Pass(stream, self.mesh)
                bus = encoded_bits(table, one.bus_weights()[:, :columns])
                for row in spread(len(stream.weights)):
                    words.append(bus)
                    writes.append((one.written == row).astype(np.int64))
                    first.append(encoded_bits(table, stream.weights[None, row, :columns])[0])
            return banks_energy(unit, words, writes, first, self.delays)

        return self._keep(("weight banks", self.cell(name).digest, columns, layer, self.mesh, self.delays), measure)

    def _resting_banks(self, unit: Unit, bits: int, layer: str) -> UnitEnergy:
        def measure() -> UnitEnergy:
            words = []
            for stream in self._tiles(layer):
                bus = Pass(stream, self.mesh).bus_weights()
                byte = np.resize(bus.T, (-(-bits // 8), len(bus))).T
                words.append(np.concatenate([bits_of(c.astype(np.uint8), 8) for c in byte.T], axis=1)[:, :bits])
            still = [np.zeros(len(words[0]), np.int64)] * len(words)
            return banks_energy(unit, words, still, [one[0] for one in words], self.delays)

        return self._keep(("resting banks", bits, layer, self.mesh, self.delays), measure)

    def _resting_register(self, unit: Unit, width: int, layer: str) -> UnitEnergy:
        still = np.zeros((64, width), np.uint8)
        return self._keep(
            ("resting register", width, self.delays),
            lambda: register_energy(unit, [still], np.ones(64), self.delays),
        )

    def _weight_encoder(self, unit: Unit, layer: str) -> UnitEnergy:
        def measure() -> UnitEnergy:
            buses = [Pass(stream, self.mesh).bus_weights() for stream in self._tiles(layer)]
            return encoder_energy(unit, [bus[:, c] for bus in buses for c in spread(bus.shape[1])], self.delays)

        return self._keep(("weight encoder", unit.synthesis.key, layer, self.mesh, self.delays), measure)

    def _activation_encoder(self, unit: Unit, layer: str) -> UnitEnergy:
        def measure() -> UnitEnergy:
            buses = [Pass(stream, self.mesh).bus_activations() for stream in self._tiles(layer)]
            return encoder_energy(unit, [bus[:, r] for bus in buses for r in spread(bus.shape[1])], self.delays)

        return self._keep(("activation encoder", unit.synthesis.key, layer, self.mesh, self.delays), measure)

    def _activation_register(self, unit: Unit, names: tuple[str, ...], layer: str) -> UnitEnergy:
        def measure() -> UnitEnergy:
            encoding, codes = self._encoding(names), np.arange(256)
            netlist = encoding.netlist
            table = bits_of(netlist.evaluate(codes, np.zeros_like(codes)).astype(np.int64), len(netlist.outputs))
            return self._register(unit, table, layer)

        key = ("register", unit.synthesis.key, self._encoding(names).netlist.digest, layer, self.mesh, self.delays)
        return self._keep(key, measure)

    def _skew_register(self, unit: Unit, layer: str) -> UnitEnergy:
        return self._keep(
            ("skew register", layer, self.mesh, self.delays),
            lambda: self._register(unit, bits_of(np.arange(256), 8), layer),
        )

    def _register(self, unit: Unit, table: np.ndarray, layer: str) -> UnitEnergy:
        passes_ = [Pass(stream, self.mesh) for stream in self._tiles(layer)]
        words = [
            encoded_bits(table, one.bus_activations()[:, row : row + 1])
            for one in passes_
            for row in spread(self.rows if self.rows < COLUMNS else one.stream.activations.shape[1])
        ]
        return register_energy(unit, words, passes_[0].working, self.delays)

    def _column(self, unit: Unit, width: int, layer: str, last: bool) -> UnitEnergy:
        def measure() -> UnitEnergy:
            cell = next(iter(self.cells.values()))
            return column_energy(
                unit,
                cell,
                width,
                [Pass(stream, self.mesh) for stream in self._tiles(layer)],
                last=last,
                delays=self.delays,
            )

        return self._keep(("column", width, layer, last, self.mesh, self.delays), measure)

    def _control(self, config: AcceleratorConfig) -> tuple[Unit, int, UnitEnergy]:
        unit = self._keep(("control", self.mesh), lambda: self.setting.control(config))

        def measure() -> UnitEnergy:
            stream = max(self.streams.values(), key=lambda tiles: len(tiles[0].activations))[0]
            requant = stream.requant or default_requant(stream.columns)
            one = MatrixProduct(
                np.concatenate([stream.earlier_activations, stream.activations], axis=1),
                np.concatenate([stream.earlier_weights, stream.weights])[:, : self.columns],
                stream.bias[: self.columns], requant,
            )  # fmt: skip
            return control_energy(unit, config, [one, one], self.delays)

        return unit, 1, self._keep(("control energy", self.mesh, self.columns, self.delays), measure)

    def _unit(self, kind: str, *parameters: Any) -> Unit:
        return self._keep((kind, *parameters), lambda: getattr(self.setting, kind)(*parameters))

    def _wire_ff(self, names: tuple[str, ...]) -> float:
        unit = self.dot(names[0]).unit
        return self.wires.ff_per_fanout(unit.area_um2 / unit.gate_count)

    def _tiles(self, layer: str) -> tuple[TileStream, ...]:
        if layer not in self.streams:
            raise UnknownName("layer of the cost model", layer, self.streams)
        return self.streams[layer]

    def _shape(self, layer: str) -> Shape:
        if layer not in self.shapes:
            raise UnknownName("layer of the cost model", layer, self.shapes)
        return self.shapes[layer]

    def _keep(self, key: tuple[Any, ...], make: Any) -> Any:
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]


def _uniform(cell: Cell, rows: int) -> ArrayConfig:
    return ArrayConfig(rows, 1, CellMix.uniform(cell, rows=rows, columns=1))
