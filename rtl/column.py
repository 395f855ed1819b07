"""What stands under one column of the array: bias, accumulator memory, requantiser."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import ceil_log2

from .place import Library, place
from .requantiser import Requantiser
from .spec.fixed import MULTIPLIER_BITS, SHIFT_BITS
from .spec.widths import LANE_BITS


class AccumulatorColumn(Component):
    """``rows`` accumulators of ``width`` bits that collect the sums of one column.

    Members, accumulation: ``read`` In fetches accumulator ``read_row`` In; a cycle later ``write`` In
    stores it plus ``sum`` In at ``write_row`` In, or the bias plus ``sum`` if ``first`` In.
    Parameters: ``configure`` In takes ``bias``, ``multiplier`` and ``shift`` In.
    Draining: behind ``read``, ``multiply`` In moves the accumulator into the requantiser and
    ``finish`` In its result into ``lane`` Out, 32 bits: the int8 output, or the accumulator itself if
    ``raw`` In, sign-extended either way. ``zero``, ``low`` and ``high`` In belong to the requantiser.
    """

    clocked = True

    def __init__(self, sum_width: int, width: int, rows: int, library: Library | None = None) -> None:
        self.sum_width, self.width, self.rows, self._library = sum_width, width, rows, library
        self.module_name = f"column_s{sum_width}_a{width}"
        row = ceil_log2(rows)
        super().__init__({
            "sum": In(signed(sum_width)), "first": In(1),
            "read": In(1), "read_row": In(row), "write": In(1), "write_row": In(row),
            "configure": In(1), "bias": In(signed(width)), "multiplier": In(MULTIPLIER_BITS), "shift": In(SHIFT_BITS),
            "raw": In(1), "zero": In(signed(8)), "low": In(signed(8)), "high": In(signed(8)),
            "multiply": In(1), "finish": In(1), "lane": Out(signed(LANE_BITS)),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        """One memory with a read and a write port, one adder, one requantiser."""
        m = Module()
        m.submodules.memory = memory = Memory(shape=signed(self.width), depth=self.rows, init=[])
        read_port, write_port = memory.read_port(), memory.write_port()
        stored = Signal(signed(self.width))
        m.d.comb += [read_port.en.eq(self.read), read_port.addr.eq(self.read_row), stored.eq(read_port.data)]

        own_bias = Signal(signed(self.width), reset_less=True)
        own_multiplier = Signal(MULTIPLIER_BITS, reset_less=True)
        own_shift = Signal(SHIFT_BITS, reset_less=True)
        with m.If(self.configure):
            m.d.sync += [own_bias.eq(self.bias), own_multiplier.eq(self.multiplier), own_shift.eq(self.shift)]

        start = Signal(signed(self.width))
        m.d.comb += [
            start.eq(Mux(self.first, own_bias, stored)),
            write_port.en.eq(self.write),
            write_port.addr.eq(self.write_row),
            write_port.data.eq(start + self.sum),
        ]

        requantiser_inputs = {
            "accumulator": stored, "multiplier": own_multiplier, "enable": self.multiply,
            "shift": own_shift, "zero": self.zero, "low": self.low, "high": self.high,
        }  # fmt: skip
        requantiser = place(m, "requantiser", self._library, Requantiser, self.width, inputs=requantiser_inputs)
        accumulator = Signal(signed(self.width), reset_less=True)
        with m.If(self.multiply):
            m.d.sync += accumulator.eq(stored)
        with m.If(self.finish):
            m.d.sync += self.lane.eq(Mux(self.raw, accumulator, requantiser.result))
        return m
