"""The cost model that the search and the report use: area, delay and energy per inference.

Three levels always stand together: multipliers alone, processing elements, and the whole array. A
saving is stated against the exact design of least energy at that level that the same flow finds.

    model = CostModel.build(cells, streams_by_layer, clock_mhz=100)
    model.inference_energy({"blocks.0.mlp.fc1": "drum8s_k4"}, macs).saving.pe
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from slipstick.errors import UnknownName, UserError
from slipstick.flow.library.liberty import Liberty, default_liberty
from slipstick.flow.power.activity import DELAY_MODEL
from slipstick.flow.power.synth import synthesise_all, tool_versions
from slipstick.rtl.cells.cell import Cell
from slipstick.rtl.spec.streams import TileStream

from .baseline import BASELINE, ExactBaseline, build_element, element_designs, exact_baseline
from .element import CellCost, Element, EnergyPerMac
from .figures import ArrayEnergy, InferenceEnergy, Levels
from .surroundings import Peripheral, PeripheralCost, Surroundings, measure, surroundings

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
    return _elements([cell], liberty or default_liberty(), clock_mhz, rows)[cell.name].energy(streams)


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
    _energies: dict[tuple[str, str], EnergyPerMac] = field(default_factory=dict, repr=False)
    _surroundings: dict[tuple[str, str], Surroundings] = field(default_factory=dict, repr=False)
    _exact: dict[tuple[tuple[str, int], ...], dict[str, Levels]] = field(default_factory=dict, repr=False)

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
        progress: Progress | None = None,
    ) -> "CostModel":
        """Synthesise the cells and the exact baseline, and check every mapped cell against its table.

        ``streams`` are recorded weight tiles by layer, at most R x C each. ``rows_per_tile`` tells how
        many rows stream past a tile before the next is loaded, where the recorded tiles hold only a
        part of them. ``progress(done, total, name)`` counts syntheses. Energies are simulated when
        first asked for. Raises UserError for cells that are not signed 8 x 8, tiles that do not fit,
        and a clock that no exact element reaches.
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
        return cls(liberty, clock_mhz, rows, columns, tiles, every, baseline, requantiser, dict(rows_per_tile or {}))

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
            self._energies[key] = self.element(name).energy(self._tiles(layer))
        return self._energies[key]

    def array_energy(self, mix: Mix, layer: str) -> ArrayEnergy:
        """Energy per MAC of an array with one cell a column on a layer's streams.

        A tile costs R cycles to load its weights, one a row, and R + C cycles in which the pipeline
        empties: weights must not move before the last sums have left.
        """
        names = self._column_names(mix)
        active = self._rows_per_tile(layer)
        drain = self.rows + self.columns
        per_column = 1 / self.columns
        elements = load = idle = skew = accumulate = 0.0
        for column, name in enumerate(names):
            energy, around = self.energy_per_mac(name, layer), self._around(name, layer)
            elements += per_column * energy.pe_fj
            load += per_column * energy.load.total_fj * self.rows / active
            stages = self.columns - 1 - column
            waiting = self.rows + drain
            idle_cycle = (
                energy.idle.total_fj
                + (stages * around.deskew.idle.total_fj + around.accumulate.idle.total_fj) / self.rows
            )
            idle += per_column * (idle_cycle * waiting - energy.idle.total_fj * self.rows) / active
            skew += per_column * stages * around.deskew.active.total_fj / self.rows
            accumulate += per_column * around.accumulate.active.total_fj / self.rows
        around = self._around(names[0], layer)
        registers = self.rows * (self.rows - 1) / 2
        size = self.rows * self.columns
        skew += registers * around.skew.active.total_fj / size
        idle += registers * around.skew.idle.total_fj * (self.rows + drain) / active / size
        control = around.control.active.total_fj * (active + self.rows + drain) / active / size
        return ArrayEnergy(elements, skew, accumulate, control, load, idle)

    def array_area_um2(self, mix: Mix) -> float:
        """Area of the array: elements, skew registers, accumulator adders, control, one requantiser a column."""
        names = self._column_names(mix)
        layer = next(iter(self.streams))
        around = [self._around(name, layer) for name in names]
        area = sum(self.rows * self.cell_cost(name).pe_area_um2 for name in names)
        area += self.rows * (self.rows - 1) / 2 * around[0].skew.area_um2 + around[0].control.area_um2
        area += sum((self.columns - 1 - c) * one.deskew.area_um2 for c, one in enumerate(around))
        area += sum(one.accumulate.area_um2 for one in around)
        return area + (self.columns * self._requantiser_cost.area_um2 if self._requantiser_cost else 0.0)

    def inference_energy(
        self,
        assignment: Mapping[str, Mix],
        macs: Mapping[str, int],
        requantisations: Mapping[str, int] | None = None,
    ) -> InferenceEnergy:
        """Energy of one inference of an assignment layer -> cell (or one cell a column).

        ``macs`` are multiply-accumulates by layer, those of padding included; ``requantisations`` the
        outputs by layer, for a model with a requantiser. Layers of ``macs`` without an assignment run
        on the exact baseline. UserError for a layer whose streams were not given.
        """
        unknown = set(assignment) - set(macs)
        if unknown:
            raise UnknownName("layer of the assignment", sorted(unknown)[0], macs)
        own = {layer: self._layer(assignment.get(layer, BASELINE), layer, count) for layer, count in macs.items()}
        key = tuple(sorted(macs.items()))
        if key not in self._exact:
            self._exact[key] = self._best_exact(macs)
        exact = self._exact[key]
        requantise_nj = 0.0
        if self._requantiser_cost and requantisations:
            requantise_nj = self._requantiser_cost.active.total_fj * sum(requantisations.values()) * 1e-6
        return InferenceEnergy(
            _sum(own, requantise_nj), own, _sum(exact, requantise_nj), exact, requantise_nj, self.notes
        )

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """Corner, clock, tools, and what the figures leave out."""
        slow = [name for name, one in self.elements.items() if one.cost.pe_delay_ps > self.clock_ps]
        size, count = f"{self.rows} x {self.columns} elements", len(self.baseline.candidates)
        missing = "accumulator and operand memories, wires, clock tree" + ("" if self.requantiser else ", requantisers")
        return (
            f"{self.liberty.describe()}, {self.clock_mhz:g} MHz, {size}, {tool_versions()}",
            f"activity: {DELAY_MODEL}, recorded operands of {len(self.streams)} layers",
            f"exact baseline: {self.baseline.chosen}, the best of {count} exact designs over whole tiles",
            "savings: against the best exact design at each level",
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

    def _layer(self, mix: Mix, layer: str, macs: int) -> Levels:
        names = self._column_names(mix)
        energies = [self.energy_per_mac(name, layer) for name in names]
        scale = macs * 1e-6  # fJ to nJ
        return Levels(
            scale * sum(energy.multiplier_fj for energy in energies) / len(names),
            scale * sum(energy.pe_fj for energy in energies) / len(names),
            scale * self.array_energy(mix, layer).total_fj,
        )

    def _best_exact(self, macs: Mapping[str, int]) -> dict[str, Levels]:
        """At each level, the layers of the exact candidate whose total is least."""
        names = [f"{BASELINE}: {element.name}" for element in self.baseline.elements]
        found = [{layer: self._layer(name, layer, count) for layer, count in macs.items()} for name in names]
        best = {
            level: min(found, key=lambda one: sum(getattr(part, level) for part in one.values()))
            for level in ("multiplier", "pe", "array")
        }
        return {layer: Levels(*(getattr(best[level][layer], level) for level in best)) for layer in macs}


def _sum(layers: Mapping[str, Levels], requantise_nj: float) -> Levels:
    parts = list(layers.values())
    return Levels(
        sum(part.multiplier for part in parts),
        sum(part.pe for part in parts),
        sum(part.array for part in parts) + requantise_nj,
    )
