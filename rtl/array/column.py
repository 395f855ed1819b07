"""What stands under one column of the mesh: accumulators and a requantiser."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib.wiring import Component, In, Out

from ..parts.place import Library, place
from ..spec.fixed import MULTIPLIER_BITS, SHIFT_BITS
from ..spec.widths import LANE_BITS
from .accumulators import Accumulators, row_bits
from .requantiser import Requantiser


class AccumulatorColumn(Component):
    """``rows`` accumulators of ``width`` bits, what a column's sums start from, and what becomes of them.

    Members: ``start`` Out is the word that the mesh adds to: accumulator ``read_row`` In, or ``bias`` In where
    ``first`` In. ``sum`` In comes back from the mesh: ``store`` In writes it to accumulator ``write_row`` In;
    ``multiply`` In gives it to the requantiser with ``multiplier`` In, or keeps it where ``raw`` In too. A cycle later
    ``finish`` In moves into ``lane`` Out, 32 bits: the int8 output by ``shift``, ``zero``, ``low`` and ``high`` In, or,
    where ``finish_raw`` In, the sum itself, sign-extended either way.
    """

    clocked = True

    def __init__(self, width: int, rows: int, library: Library | None = None) -> None:
        self.width, self.rows, self._library = width, rows, library
        self.module_name, self.content = f"column_a{width}", str(rows)
        row = row_bits(rows)
        super().__init__({
            "read_row": In(row), "bias": In(signed(width)), "first": In(1), "start": Out(signed(width)),
            "sum": In(signed(width)), "store": In(1), "write_row": In(row), "multiply": In(1), "raw": In(1),
            "multiplier": In(MULTIPLIER_BITS), "shift": In(SHIFT_BITS),
            "zero": In(signed(8)), "low": In(signed(8)), "high": In(signed(8)),
            "finish": In(1), "finish_raw": In(1), "lane": Out(signed(LANE_BITS)),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        """The accumulators and one requantiser, whose operand rests until it is needed."""
        m = Module()
        memory_inputs = {
            "read_row": self.read_row, "store": self.store, "write_row": self.write_row, "sum": self.sum,
        }  # fmt: skip
        memory = place(m, "accumulators", self._library, Accumulators, self.width, self.rows, inputs=memory_inputs)
        m.d.comb += self.start.eq(Mux(self.first, self.bias, memory.stored))
        requantiser_inputs = {
            "accumulator": Mux(self.multiply, self.sum, 0).as_signed(), "multiplier": self.multiplier,
            "enable": self.multiply, "shift": self.shift, "zero": self.zero, "low": self.low, "high": self.high,
        }  # fmt: skip
        requantiser = place(m, "requantiser", self._library, Requantiser, self.width, inputs=requantiser_inputs)
        accumulator = Signal(signed(self.width), reset_less=True)
        with m.If(self.multiply & self.raw):
            m.d.sync += accumulator.eq(self.sum)
        with m.If(self.finish):
            m.d.sync += self.lane.eq(Mux(self.finish_raw, accumulator, requantiser.result))
        return m
