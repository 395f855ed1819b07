"""What the modules of an accelerator take on a layer's recorded tiles: mapped and simulated when first asked for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from slipstick.errors import UnknownName, UserError
from slipstick.flow.library.liberty import Liberty
from slipstick.flow.power.delays import Delays
from slipstick.rtl.cells.cell import Cell
from slipstick.rtl.cells.dot_form import Encoding, dot_form, shared_encoding
from slipstick.rtl.spec.array import ArrayConfig, CellMix
from slipstick.rtl.spec.beats import MatrixProduct
from slipstick.rtl.spec.cycles import Shape
from slipstick.rtl.spec.machine import AcceleratorConfig
from slipstick.rtl.spec.streams import TileStream

from .beside import (
    COLUMNS,
    Setting,
    banks_stimulus,
    column_stimulus,
    control_stimulus,
    default_requant,
    encoder_stimulus,
    register_stimulus,
    spread,
)
from .buffer_tree import MAX_FANOUT
from .dot import Dot, encoded_bits, weight_table
from .timeline import WINDOW, Pass, window
from .unit import Stimulus, Unit, UnitEnergy, bits_of
from .wires import WIRES, WireModel

Mix = str | Sequence[str]
"""A cell name for the whole array, or one name a column."""


@dataclass(frozen=True)
class ModuleEnergies:
    """Modules of arrays of R x C products in tiles of r x c, one cell a column, on a network's recorded streams.

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
        stacked = self.tile[0] < self.rows
        key = ("dot", cell.digest, self.tile[0], width, stacked)
        return self.keep(
            key, lambda: Dot.build(cell, self.tile[0], width, self.liberty, self.clock_ps, stacked=stacked)
        )

    def dot_energy(self, name: str, layer: str) -> UnitEnergy:
        """Energy of a cycle of a dot column on a layer's streams."""
        dot = self.dot(name)
        key = ("dot energy", self.cell(name).digest)
        return self.on_layers(key, dot.unit, layer, lambda one: dot.stimulus(self.tiles(one), self.mesh, self.delays))

    def encoding(self, names: tuple[str, ...]) -> Encoding:
        """What the cells of these columns read of an activation."""
        order = tuple(dict.fromkeys(names))
        return self.keep(
            ("encoding", *(self.cell(name).digest for name in order)),
            lambda: shared_encoding([dot_form(self.cell(name)).activation for name in order]),
        )

    def weight_banks(self, unit: Unit, group: tuple[str, ...], layer: str) -> UnitEnergy:
        """Banks of one row's weights for a group of columns of these cells."""
        tables = [weight_table(self.cell(name)) for name in group]

        def kept(codes: np.ndarray) -> np.ndarray:
            """What the banks keep of weights int8 [n, columns]."""
            return np.concatenate([table[c.astype(np.uint8)] for table, c in zip(tables, codes.T, strict=True)], axis=1)

        def stimulus(layer: str) -> Stimulus:
            words, writes, first = [], [], []
            for stream in self.tiles(layer):
                one = Pass(stream, self.mesh)
                bus = kept(one.bus_weights()[:, : len(group)])
                for row in spread(len(stream.weights)):
                    words.append(bus)
                    writes.append((one.written == row).astype(np.int64))
                    first.append(kept(stream.weights[None, row, : len(group)])[0])
            return banks_stimulus(words, writes, first)

        digests = tuple(self.cell(name).digest for name in group)
        return self.on_layers(("weight banks", digests), unit, layer, stimulus)

    def resting_banks(self, unit: Unit, bits: int, layer: str) -> UnitEnergy:
        """Banks of constants, which see the weights pass and keep what they have."""

        def stimulus(layer: str) -> Stimulus:
            words = []
            for stream in self.tiles(layer):
                bus = Pass(stream, self.mesh).bus_weights()
                byte = np.resize(bus.T, (-(-bits // 8), len(bus))).T
                words.append(np.concatenate([bits_of(c.astype(np.uint8), 8) for c in byte.T], axis=1)[:, :bits])
            still = [np.zeros(len(words[0]), np.int64)] * len(words)
            return banks_stimulus(words, still, [one[0] for one in words])

        return self.on_layers(("resting banks", bits), unit, layer, stimulus)

    def resting_register(self, unit: Unit, width: int, layer: str) -> UnitEnergy:
        """A register whose word stays while its clock runs."""
        still = np.zeros((64, width), np.uint8)
        return self.keep(
            ("resting register", width, self.delays),
            lambda: unit.energy(register_stimulus([still], np.ones(64)), self.delays),
        )

    def weight_encoder(self, unit: Unit, layer: str) -> UnitEnergy:
        """The encoder of a column's weights."""

        def stimulus(layer: str) -> Stimulus:
            buses = [Pass(stream, self.mesh).bus_weights() for stream in self.tiles(layer)]
            return encoder_stimulus([bus[:, c] for bus in buses for c in spread(bus.shape[1])])

        return self.on_layers(("weight encoder", unit.synthesis.key), unit, layer, stimulus)

    def activation_encoder(self, unit: Unit, layer: str) -> UnitEnergy:
        """The encoder of a row's activations."""

        def stimulus(layer: str) -> Stimulus:
            buses = [Pass(stream, self.mesh).bus_activations() for stream in self.tiles(layer)]
            return encoder_stimulus([bus[:, r] for bus in buses for r in spread(bus.shape[1])])

        return self.on_layers(("activation encoder", unit.synthesis.key), unit, layer, stimulus)

    def activation_register(self, unit: Unit, names: tuple[str, ...], bits: tuple[int, ...], layer: str) -> UnitEnergy:
        """The register of some bits of a row's encoded activations."""

        def stimulus(layer: str) -> Stimulus:
            codes, netlist = np.arange(256), self.encoding(names).netlist
            table = bits_of(netlist.evaluate(codes, np.zeros_like(codes)).astype(np.int64), len(netlist.outputs))
            return self._register(table[:, list(bits)], layer)

        return self.on_layers(("register", self.encoding(names).netlist.digest, bits), unit, layer, stimulus)

    def skew_register(self, unit: Unit, layer: str) -> UnitEnergy:
        """A register that delays a row's activations before they are encoded."""
        table = bits_of(np.arange(256), 8)
        return self.on_layers(("skew register",), unit, layer, lambda one: self._register(table, one))

    def _register(self, table: np.ndarray, layer: str) -> Stimulus:
        passes_ = [Pass(stream, self.mesh) for stream in self.tiles(layer)]
        words = [
            encoded_bits(table, one.bus_activations()[:, row : row + 1])
            for one in passes_
            for row in spread(self.rows if self.rows < COLUMNS else one.stream.activations.shape[1])
        ]
        return register_stimulus(words, passes_[0].working)

    def column(self, unit: Unit, width: int, layer: str, last: bool) -> UnitEnergy:
        """What stands under a column, in a pass that stores its sums or in the ``last`` one."""

        def stimulus(layer: str) -> Stimulus:
            cell = next(iter(self.cells.values()))
            rng = np.random.default_rng(WINDOW)
            passes_ = [Pass(window(stream, self.mesh, rng), self.mesh) for stream in self.tiles(layer)]
            return column_stimulus(unit, cell, passes_, last=last)

        return self.on_layers(("column", width, last), unit, layer, stimulus)

    def control(self, config: AcceleratorConfig) -> tuple[Unit, int, UnitEnergy]:
        """The control: its unit, that there is one, and its energy while products stream."""
        unit = self.keep(("control", self.mesh), lambda: self.setting.control(config))

        def measure() -> UnitEnergy:
            stream = max(self.streams.values(), key=lambda tiles: len(tiles[0].activations))[0]
            requant = stream.requant or default_requant(stream.columns)
            rows, recent = slice(0, 2 * WINDOW), slice(-2 * self.rows, None)
            one = MatrixProduct(
                np.concatenate([stream.earlier_activations[rows, recent], stream.activations[rows]], axis=1),
                np.concatenate([stream.earlier_weights[recent], stream.weights])[:, : self.columns],
                stream.bias[: self.columns],
                requant,
            )
            return unit.energy(control_stimulus(config, [one, one]), self.delays)

        return unit, 1, self.keep(("control energy", self.mesh, self.columns, self.delays), measure)

    def on_layers(
        self, key: tuple[Any, ...], unit: Unit, layer: str, stimulus: Callable[[str], Stimulus]
    ) -> UnitEnergy:
        """Energy of a unit on a layer's ``stimulus(layer)``; all layers are simulated when the first is asked for."""
        self.tiles(layer)  # refuses one that is not there
        layers = list(self.streams)
        found = self.keep(
            (*key, self.mesh, self.delays), lambda: unit.energies([stimulus(one) for one in layers], self.delays)
        )
        energy: UnitEnergy = found[layers.index(layer)]
        return energy

    def unit(self, kind: str, *parameters: Any) -> Unit:
        """The mapped module of a kind (a method of ``Setting``) with these parameters."""
        return self.keep((kind, *parameters), lambda: getattr(self.setting, kind)(*parameters))

    def tiles(self, layer: str) -> tuple[TileStream, ...]:
        """The recorded tiles of a layer; UnknownName shows near names."""
        if layer not in self.streams:
            raise UnknownName("layer of the cost model", layer, self.streams)
        return self.streams[layer]

    def shape(self, layer: str) -> Shape:
        """What a layer multiplies; UnknownName shows near names."""
        if layer not in self.shapes:
            raise UnknownName("layer of the cost model", layer, self.shapes)
        return self.shapes[layer]

    def keep(self, key: tuple[Any, ...], make: Any) -> Any:
        """What ``make`` gives, made once for a key."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]


def _uniform(cell: Cell, rows: int) -> ArrayConfig:
    return ArrayConfig(rows, 1, CellMix.uniform(cell, rows=rows, columns=1))
