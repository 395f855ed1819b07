"""The cost model that the search and the report use: area, delay and energy per inference.

Four levels always stand together: multipliers alone, with adder trees and sum registers, the whole array, and all
that one inference takes. A saving is stated against the exact cell of least energy in the same accelerator.

    model = CostModel.build(cells, streams_by_layer, shapes_by_layer, clock_mhz=100)
    model.inference_energy({"blocks.0.mlp.fc1": "drum8s_k4"}).saving.mac
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from slipstick.errors import UnknownName, UserError
from slipstick.flow.library.liberty import Liberty, default_liberty
from slipstick.flow.power.delays import Delays
from slipstick.flow.power.synth import Design, clock_gate, synthesise_all, tool_versions
from slipstick.rtl.array.dot_column import DotColumn
from slipstick.rtl.cells.cell import Cell
from slipstick.rtl.spec.array import ArrayConfig, CellMix
from slipstick.rtl.spec.cycles import Shape
from slipstick.rtl.spec.streams import TileStream

from .array import ArrayModel, Mix
from .baseline import BASELINE, ExactBaseline, exact_baseline, exact_cells
from .buffer_tree import MAX_FANOUT
from .emitted import design_of, emitted_modules
from .figures import InferenceEnergy, LayerFigures
from .tile_choice import TileChoice, tile_choices
from .wires import WIRES, WireModel

CLOCK_MHZ = 100.0
"""Default clock: exact cells meet it in SG13G2 with tiles of any height."""
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class CellCost:
    """A cell in its dot column: area (um2) and gates of a MAC, longest path (ps) with wires, bits of the sums."""

    name: str
    area_um2: float
    gate_count: float
    delay_ps: float
    sum_width: int

    @property
    def f_max_mhz(self) -> float:
        """Fastest clock of the array."""
        return 1e6 / self.delay_ps


@dataclass(frozen=True)
class CostModel(ArrayModel):
    """Costs of a set of cells on a network's recorded streams, beside the exact baseline's."""

    baseline: ExactBaseline = field(default=ExactBaseline((), ""), kw_only=True)
    choices: tuple[TileChoice, ...] = field(default=(), kw_only=True)

    @classmethod
    def build(
        cls,
        cells: Sequence[Cell],
        streams: Mapping[str, TileStream | Sequence[TileStream]],
        shapes: Mapping[str, Shape],
        *,
        liberty: Liberty | None = None,
        clock_mhz: float = CLOCK_MHZ,
        rows: int = 16,
        columns: int = 16,
        tile: tuple[int, int] | None = None,
        accumulator_rows: int = 256,
        depth: int = 64,
        wires: WireModel = WIRES,
        clock_fanout: int | None = MAX_FANOUT,
        delays: Delays = Delays.ZERO,
        progress: Progress | None = None,
    ) -> "CostModel":
        """Map the cells and the exact ones, and find the best of these.

        ``streams`` are recorded weight tiles by layer, R x C each, ``shapes`` what a layer multiplies in one
        inference. ``tile`` are rows and columns of a tile, by default those of least energy (``choices``).
        ``wires`` and ``clock_fanout``, the most pins that a clock buffer drives (None for no clock tree), count at
        the level of the inference. ``delays`` decides whether glitches count, the exact baseline's too.
        ``progress(done, total, name)`` counts syntheses. Energies are simulated when first asked for. Raises
        UserError for cells that are
        not signed 8 x 8, tiles that do not fit, and a clock that no exact cell reaches.
        """
        liberty = liberty or default_liberty()
        tiles = {layer: (one,) if isinstance(one, TileStream) else tuple(one) for layer, one in streams.items() if one}
        if not tiles:
            raise UserError("the cost model needs the operand streams of at least one layer")
        for layer, group in tiles.items():
            for stream in group:
                if stream.weights.shape != (rows, columns):
                    size = " x ".join(map(str, stream.weights.shape))
                    raise UserError(f"a tile of layer {layer!r} is {size}, the array {rows} x {columns}")
        if len({cell.name for cell in cells}) != len(cells):
            raise UserError("two of the cells have the same name")
        every = {cell.name: cell for cell in (*exact_cells(), *cells)}
        model = cls(
            liberty, clock_mhz, rows, columns, tile or (rows, columns), every, tiles, shapes,
            accumulator_rows=accumulator_rows, depth=depth, wires=wires, clock_fanout=clock_fanout, delays=delays,
        )  # fmt: skip
        choices: tuple[TileChoice, ...] = ()
        if tile is None:
            choices = tile_choices(model)
            model = replace(model, tile=(choices[0].rows, choices[0].columns), choices=choices)
        model.config(next(iter(every)))  # refuses tiles that do not divide
        model._map_all(progress)
        baseline = exact_baseline(model)
        return replace(model, baseline=baseline, cells=every | {BASELINE: every[baseline.chosen]})

    def _map_all(self, progress: Progress | None) -> None:
        """Map the modules of every cell's dot column, several at a time."""
        seen: set[str] = set()

        def designs() -> Iterator[Design]:
            for cell in self.cells.values():
                array = ArrayConfig(self.rows, 1, CellMix.uniform(cell, rows=self.rows, columns=1))
                cells = (cell,) * self.tile[0]
                for one in emitted_modules(DotColumn, cells, array.accumulator_width(0, self.depth)).values():
                    if one.name not in seen:
                        seen.add(one.name)
                        yield design_of(one)

        synthesise_all(designs(), self.liberty, clock_ps=self.clock_ps, total=3 * len(self.cells), progress=progress)

    def cell_cost(self, name: str) -> CellCost:
        """Area, gates and delay of a cell in the array."""
        dot = self.dot(name)
        area, gates = dot.unit.area_um2 / dot.rows, dot.unit.gate_count / dot.rows
        return CellCost(name, area, gates, self.delay_ps(name), dot.width)

    def mac_parts_fj(self, mix: Mix, layer: str) -> dict[str, float]:
        """Energy of a MAC of the array by part, while it works, fJ."""
        size = self.rows * self.columns
        return {part: value / size for part, value in self.pass_energy(mix, layer).parts.items()}

    def inference_fj(self, mix: Mix, layer: str) -> float:
        """Energy of a MAC of all that an inference takes on a layer, padding included."""
        figures = self.layer_figures(mix, layer)
        return 1e6 * figures.energy_nj / figures.macs

    def layer_figures(self, mix: Mix, layer: str) -> LayerFigures:
        """Everything that a layer takes in one inference."""
        shape, run = self.shapes[layer], self.passes(mix, layer)
        energy = self.pass_energy(mix, layer)
        nj = {part: 1e-6 * value * run.cycles for part, value in energy.parts.items()}
        padded = run.count * run.rows * self.rows * self.columns
        return LayerFigures(nj, round(padded), shape.macs, run.cycles, self.rows * self.columns, self.clock_mhz)

    def inference_energy(self, assignment: Mapping[str, Mix]) -> InferenceEnergy:
        """Energy of one inference of an assignment layer -> cell (or one cell a column).

        Layers without an assignment run on the exact baseline. UnknownName for a layer that the model lacks.
        """
        unknown = set(assignment) - set(self.shapes)
        if unknown:
            raise UnknownName("layer of the assignment", sorted(unknown)[0], self.shapes)
        details = {layer: self.layer_figures(assignment.get(layer, BASELINE), layer) for layer in self.shapes}
        exact = {layer: self.layer_figures(BASELINE, layer) for layer in self.shapes}
        return InferenceEnergy(self.notes, details, exact)

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """Corner, clock, tools, and what the figures leave out."""
        slow = [name for name in self.cells if self.delay_ps(name) > self.clock_ps]
        tree = f"buffers of at most {self.clock_fanout} pins" if self.clock_fanout else "none"
        tree = tree if self.liberty.buffers else "none: the library has no buffer"
        gate, size = (
            clock_gate(self.liberty),
            f"{self.rows} x {self.columns} in tiles of {self.tile[0]} x {self.tile[1]}",
        )
        return (
            f"{self.liberty.describe()}, {self.clock_mhz:g} MHz, {size}, {tool_versions()}",
            f"activity: {self.delays.value}, recorded operands of {len(self.streams)} layers",
            f"exact baseline: {self.baseline.chosen}, the best of {len(self.baseline.candidates)} exact cells",
            f"clock gates: {gate.name if gate else 'none: the library has no plain one, registers keep their clocks'}",
            f"inference: wires: {self.wires.describe()}; clock tree: {tree}",
            "not included: accumulator and operand memories",
            *([f"slower than the clock: {', '.join(slow)}"] if slow else []),
        )
