"""A whole array flattened and mapped as one netlist: what the composition of ``cost`` is checked against."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from slipstick.errors import UserError
from slipstick.flow.library.liberty import Liberty
from slipstick.flow.power.activity import simulate
from slipstick.flow.power.delays import Delays
from slipstick.flow.power.gates import MappedNetlist, unpack
from slipstick.flow.power.glitches import with_glitches
from slipstick.flow.power.power import PowerModel
from slipstick.flow.power.synth import Synthesis, synthesise
from slipstick.rtl.emit import to_verilog
from slipstick.rtl.spec.array import ArrayConfig
from slipstick.rtl.spec.streams import TileStream
from slipstick.rtl.systolic import SystolicArray
from slipstick.store import Store

from .cost import CostModel
from .element import MappingError
from .timeline import Timeline

_TOP = "systolic_array"
MAX_SIDE = 8  # a row of activations is one 64-bit word of the simulation


@dataclass(frozen=True)
class FlatArray:
    """The systolic array of ``config`` (elements and skewed edges) as one flat mapped netlist."""

    config: ArrayConfig
    synthesis: Synthesis
    liberty: Liberty
    clock_ps: float

    @classmethod
    def build(cls, config: ArrayConfig, liberty: Liberty, clock_ps: float, store: Store | None = None) -> "FlatArray":
        """Emit, flatten and map the array; a 4 x 4 takes seconds, an 8 x 8 about half a minute."""
        if max(config.rows, config.columns) > MAX_SIDE:
            raise UserError(f"flat arrays are simulated up to {MAX_SIDE} x {MAX_SIDE}, not {config.describe()}")
        verilog = to_verilog(SystolicArray(config), _TOP)
        return cls(config, synthesise(verilog, _TOP, liberty, clock_ps=clock_ps, store=store), liberty, clock_ps)

    @cached_property
    def power(self) -> PowerModel:
        """Power model of the netlist."""
        return PowerModel(MappedNetlist.build(self.synthesis, self.liberty), clock_ps=self.clock_ps)

    def energy_fj(self, tiles: Sequence[TileStream], delays: Delays = Delays.ZERO) -> float:
        """Energy per MAC over whole tiles, weights and drains included; the first tile follows the last.

        Every column sum in every cycle is compared with the tables: MappingError where one differs.
        """
        rows, columns = self.config.rows, self.config.columns
        line = Timeline.of((tiles[-1], *tiles), rows, columns)
        weights = {
            self._weight_register(row, column): line.weights[:, row, column]
            for row in range(rows)
            for column in range(columns)
        }
        inputs = {"activations": _word(line.beats[:, :rows]), "weights": _word(line.beats[:, :columns])}
        inputs["load"] = line.load.astype(np.int64)
        skip = int(line.starts[1])
        depth = 2 * (rows + columns)
        activity = simulate(self.power.netlist, inputs, weights, settle=skip, depth=depth)
        self._check(activity.planes, line, skip)
        activity = with_glitches(activity, delays, self.power.timing)
        macs = int(line.lengths[1:].sum()) * rows * columns
        return self.power.report(activity).total.total_fj * activity.cycles / macs

    def _weight_register(self, row: int, column: int) -> str:
        """Public name of an element's weight register: Yosys keeps one of the names of a net."""
        element = f"pe_r{row}_c{column}_{self.config.mix.at(row, column).name}"
        names = (f"{element}.multiplier.w", f"{element}.weight_out", f"{element}.w")
        return next(name for name in names if name in self.power.netlist.names)

    def _check(self, planes: np.ndarray, line: Timeline, skip: int) -> None:
        sums = line.sums([self.config.mix.at(0, column) for column in range(self.config.columns)])
        nets, place = self.power.netlist.ports["sums"][1], 0
        for column in range(self.config.columns):
            width, late = self.config.partial_sum_width(column), self.config.columns - 1 - column
            got = unpack(planes[list(nets[place : place + width])], len(line.beats), signed=True)
            if not np.array_equal(got[skip:], sums[skip - late : len(sums) - late, -1, column]):
                raise MappingError(f"column {column} of the flat array computes other sums than its cells' tables")
            place += width


def _word(lanes: np.ndarray) -> np.ndarray:
    """Lanes of 8 bits [N, lanes] as one word each, int64 [N]."""
    bytes_ = np.zeros((len(lanes), 8), np.uint8)
    bytes_[:, : lanes.shape[1]] = lanes & 0xFF
    return bytes_.view("<i8")[:, 0].astype(np.int64)


@dataclass(frozen=True)
class Comparison:
    """Composition and flat synthesis of one array: area in um2, energy in fJ a MAC, of elements and skewed edges."""

    array: str
    composed_area_um2: float
    flat_area_um2: float
    composed_fj: float
    flat_fj: float

    @property
    def area_ratio(self) -> float:
        """Composed over flat."""
        return self.composed_area_um2 / self.flat_area_um2

    @property
    def energy_ratio(self) -> float:
        """Composed over flat."""
        return self.composed_fj / self.flat_fj


def compare(flat: FlatArray, model: CostModel, layer: str) -> Comparison:
    """Compare on the streams of a layer; ``model`` has the cells, size, library and clock of ``flat``."""
    mix = [flat.config.mix.at(0, column).name for column in range(flat.config.columns)]
    area, energy = model.edges_and_elements(mix, layer)
    return Comparison(
        flat.config.describe(),
        area,
        flat.synthesis.area_um2,
        energy,
        flat.energy_fj(model.streams[layer], model.delays),
    )
