"""The cost model that the search and the report use: area, delay and energy per inference.

Four levels always stand together: multipliers alone, processing elements, the whole array, and all that
one inference takes. A saving is stated against the exact design of least energy at that level that the
same flow finds.

    model = CostModel.build(cells, streams_by_layer, clock_mhz=100)
    model.inference_energy({"blocks.0.mlp.fc1": "drum8s_k4"}, macs).saving.pe
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from slipstick.errors import UnknownName, UserError
from slipstick.flow.library.liberty import Liberty, default_liberty
from slipstick.flow.power.delays import Delays
from slipstick.flow.power.synth import synthesise_all, tool_versions
from slipstick.rtl.cells.cell import Cell
from slipstick.rtl.spec.streams import TileStream

from .array import ArrayModel, Mix
from .baseline import BASELINE, ExactBaseline, build_element, element_designs, exact_baseline
from .clock_tree import MAX_FANOUT
from .element import CellCost, Element
from .figures import LEVELS, ArrayEnergy, InferenceEnergy, LayerFigures, Levels
from .mac import EnergyPerMac
from .surroundings import Peripheral
from .timeline import drain_cycles, tile_cycles
from .wires import WIRES, WireModel

CLOCK_MHZ = 100.0
"""Default clock: the exact element meets it in SG13G2 with more than half of the period to spare."""
Progress = Callable[[int, int, str], None]


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
    cells: Sequence[Cell],
    liberty: Liberty,
    clock_mhz: float,
    rows: int,
    delays: Delays = Delays.ZERO,
    progress: Progress | None = None,
) -> dict[str, Element]:
    designs = (design for cell in cells for design in element_designs(cell.name, cell, rows))
    clock_ps = 1e6 / clock_mhz
    mapped = synthesise_all(designs, liberty, clock_ps=clock_ps, total=2 * len(cells), progress=progress)
    return {cell.name: build_element(cell.name, cell, rows, mapped, liberty, clock_ps, delays) for cell in cells}


@dataclass(frozen=True)
class CostModel(ArrayModel):
    """Costs of a set of cells on a network's recorded streams, beside the exact baseline's."""

    baseline: ExactBaseline
    _exact: dict[tuple[Any, ...], tuple[dict[str, Levels], dict[str, LayerFigures]]] = field(
        default_factory=dict, repr=False, kw_only=True
    )

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
        delays: Delays = Delays.ZERO,
        progress: Progress | None = None,
    ) -> "CostModel":
        """Synthesise the cells and the exact baseline, and check every mapped cell against its table.

        ``streams`` are recorded weight tiles by layer, at most R x C each. ``rows_per_tile`` tells how
        many rows stream past a tile before the next is loaded, where the recorded tiles hold only a
        part of them. ``wires`` and ``clock_fanout``, the most pins that a clock buffer drives (None for
        no clock tree), count at the level of the inference. ``delays`` decides whether glitches count, the
        exact baseline's too. ``progress(done, total, name)`` counts
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
        baseline = exact_baseline(liberty, clock_mhz, tiles, rows=rows, delays=delays)
        exact = {f"{BASELINE}: {element.name}": element for element in baseline.elements}
        elements = _elements(cells, liberty, clock_mhz, rows, delays, progress)
        every = {**elements, **exact, BASELINE: baseline.element}
        return cls(
            liberty, clock_mhz, rows, columns, tiles, every, baseline, requantiser=requantiser,
            rows_per_tile=dict(rows_per_tile or {}), wires=wires, clock_fanout=clock_fanout, delays=delays,
        )  # fmt: skip

    def inference_fj(self, mix: Mix, layer: str) -> float:
        """Energy per MAC of all that an inference takes on a layer, clock tree and wires by their models."""
        return self._layer(mix, layer, _Counts(1_000_000, 1_000_000, 0))[0].inference  # nJ of a million

    def layer_figures(self, mix: Mix, layer: str, macs: int, outputs: int) -> LayerFigures:
        """Everything that a layer of ``macs`` (padding included) and ``outputs`` takes in one inference."""
        return self._layer(mix, layer, _Counts(macs, macs, outputs))[1]

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
            f"activity: {self.delays.value}, recorded operands of {len(self.streams)} layers",
            f"exact baseline: {self.baseline.chosen}, the best of {count} exact designs over whole tiles",
            "savings: against the best exact design at each level",
            "multiplier, processing element and array: mapped gates, without wires and clock tree",
            f"inference: requantisers, drains and idle cycles too; wires: {self.wires.describe()}; clock tree: {tree}",
            f"not included: {missing}",
            *([f"slower than the clock: {', '.join(slow)}"] if slow else []),
        )

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
