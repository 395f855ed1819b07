"""A dot column, the unit that a mesh repeats: products, adder tree, sum register; its energy on recorded tiles."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from slipstick.flow.library.liberty import Liberty
from slipstick.flow.power.activity import Activity
from slipstick.flow.power.delays import Delays
from slipstick.flow.power.gates import MappedNetlist
from slipstick.rtl.array.dot_column import DotColumn, kept_encoded
from slipstick.rtl.cells.cell import Cell
from slipstick.rtl.cells.dot_form import dot_form
from slipstick.rtl.spec.streams import TileStream, table_product

from .emitted import mapped
from .timeline import WINDOW, Pass, window
from .unit import MappingError, Stimulus, Unit, UnitEnergy, bits_of

MULTIPLIER, ADDER, SUMS, BROADCAST = "multiplier", "adder", "sum registers", "broadcast"
CYCLES = {Delays.ZERO: 1024, Delays.UNIT: 512, Delays.NLDM: 512}
"""Cycles simulated of a layer, of r products each."""
_LEAD = 2  # cycles of the pass before: the sum register shows its first real value one cycle into a sequence
_SEED = 2026


@dataclass(frozen=True)
class Dot:
    """The dot column of r equal ``cell``, with sums of ``width`` bits."""

    cell: Cell
    rows: int
    width: int
    unit: Unit

    @classmethod
    def build(
        cls, cell: Cell, rows: int, width: int, liberty: Liberty, clock_ps: float, *, stacked: bool = False
    ) -> "Dot":
        """Emit and map it; ``stacked``: its sums go to a dot column below."""
        synthesis = mapped(DotColumn, (cell,) * rows, width, liberty=liberty, clock_ps=clock_ps)
        chained = (("sum_out", "sum_in"),) if stacked else ()
        return cls(cell, rows, width, Unit(synthesis, liberty, clock_ps, _part_of, chained))

    def energy(self, streams: Sequence[TileStream], mesh: tuple[int, int], delays: Delays = Delays.ZERO) -> UnitEnergy:
        """Energy of a cycle of a pass of these tiles."""
        return self.unit.energy(self.stimulus(streams, mesh, delays), delays)

    def stimulus(self, streams: Sequence[TileStream], mesh: tuple[int, int], delays: Delays) -> Stimulus:
        """Passes of these tiles, fewer where glitches count.

        Tile rows and columns are drawn by shapes only, so that all cells see the same, each once before any twice.
        The check finds mapped gates that give other sums than the cell's table.
        """
        rng = np.random.default_rng(_SEED)
        length = Pass(window(streams[0], mesh, rng), mesh).length
        count = max(len(streams), round(CYCLES[delays] / length))
        windows, places = [], list[int]()
        for number in range(count):
            one = Pass(window(streams[number % len(streams)], mesh, rng), mesh)
            if not places:
                places = [int(place) for place in rng.permutation(mesh[0] * streams[0].columns)]
            row, column = divmod(places.pop(), streams[0].columns)
            windows.append(self._window(one, self.rows * row, column))
        words = {name: np.concatenate([one[0][name] for one in windows]) for name in windows[0][0]}
        expected = np.stack([one[1] for one in windows])

        def check(activity: Activity) -> None:
            got = activity.values("sum_out", signed=True).reshape(count, -1)[:, _LEAD + 1 :]
            if not np.array_equal(got, expected[:, : got.shape[1]]):
                raise MappingError(f"the mapped gates of {self.unit.synthesis.top} compute other sums than its cell")

        return Stimulus(words, count, _LEAD - 1, check)

    def _window(self, one: Pass, row: int, column: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Words of a segment: the end of the pass before, then a pass; sums [L] that come of it."""
        stream, rows = one.stream, slice(row, row + self.rows)
        own = slice(column, column + 1)
        above = stream.sums_before(self.cell, own)[:, 0] + self._sum(stream, slice(0, row), column)
        start = one.rows(above)
        activations = one.rows(stream.activations[:, rows])
        before = stream.weights if one.count > WINDOW else stream.next_weights
        weights = np.concatenate([
            np.repeat(before[None, rows, column], _LEAD, 0),
            np.repeat(stream.weights[None, rows, column], one.length, 0),
        ])  # fmt: skip
        words = {
            "activations": encoded_bits(self._activation_table, _led(activations)),
            "weights": encoded_bits(self._weight_table, weights),
            "sum_in": bits_of(_led(start), self.width),
            "compute": np.concatenate([np.ones(_LEAD, np.int64), one.working.astype(np.int64)]),
        }
        return words, one.rows(above + self._sum(stream, rows, column))

    def _sum(self, stream: TileStream, rows: slice, column: int) -> np.ndarray:
        return table_product(self.cell, stream.activations[:, rows], stream.weights[rows, column : column + 1])[:, 0]

    @cached_property
    def _activation_table(self) -> np.ndarray:
        return activation_table(self.cell)

    @cached_property
    def _weight_table(self) -> np.ndarray:
        return weight_table(self.cell)


def activation_table(cell: Cell) -> np.ndarray:
    """Encoded bits of every activation code, uint8 [256, bits]."""
    codes = np.arange(256)
    netlist = dot_form(cell).activation
    return bits_of(netlist.evaluate(codes, np.zeros_like(codes)).astype(np.int64), len(netlist.outputs))


def weight_table(cell: Cell) -> np.ndarray:
    """Bits that the banks keep of every weight code, uint8 [256, bits]."""
    codes, form = np.arange(256), dot_form(cell)
    if not kept_encoded(form):
        return bits_of(codes, 8)
    return bits_of(form.weight.evaluate(np.zeros_like(codes), codes).astype(np.int64), len(form.weight.outputs))


def encoded_bits(table: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Bits [n, words x bits] of codes int8 [n, words]."""
    return table[codes.astype(np.uint8)].reshape(len(codes), -1)


def _led(values: np.ndarray) -> np.ndarray:
    """``values`` [L, ...] after the last one, as the pass before leaves it."""
    return np.concatenate([np.repeat(values[-1:], _LEAD, 0), values])


def _part_of(netlist: MappedNetlist, name: str) -> str:
    """Part of a gate, register or input port of a dot column."""
    instance = name.split(".")[0]
    if name == "activations":
        return BROADCAST
    if name == "sum_in" or instance == "tree":
        return ADDER
    return MULTIPLIER if name == "weights" or instance.startswith(("product_", "weight_encoder_r")) else SUMS
