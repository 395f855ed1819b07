"""What stands under one column of the mesh: accumulators, two sets of constants, a requantiser."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib.wiring import Component, In, Out

from ..place import Library, place
from ..requantiser import Requantiser
from ..spec.beats import CONSTANTS
from ..spec.fixed import MULTIPLIER_BITS, SHIFT_BITS
from ..spec.widths import LANE_BITS
from .accumulators import Accumulators, row_bits

OF_COLUMN = ("bias", "multiplier", "shift")
CONSTANT_BYTES = sum(CONSTANTS[name] for name in OF_COLUMN)


class AccumulatorColumn(Component):
    """``rows`` accumulators of ``width`` bits, what a column's sums start from, and what becomes of them.

    Members: ``start`` Out is the word that the mesh adds to: accumulator ``read_row`` In, or the bias of set
    ``read_set`` In where ``first`` In. ``sum`` In comes back from the mesh: ``store`` In writes it to accumulator
    ``write_row`` In; ``multiply`` In gives it to the requantiser with the constants of ``write_set`` In, or keeps
    it where ``raw`` In too. A cycle later ``finish`` In moves into ``lane`` Out, 32 bits: the int8 output
    by the constants of ``finish_set`` In and ``zero``, ``low`` and ``high`` In, or, where ``finish_raw`` In, the
    sum itself, sign-extended either way. ``constant`` In, a byte, goes to the bytes of ``configure`` In (one bit
    each, in the order of ``CONSTANTS``) of set ``configure_set`` In.
    """

    clocked = True

    def __init__(self, width: int, rows: int, library: Library | None = None) -> None:
        self.width, self.rows, self._library = width, rows, library
        self.module_name = f"column_a{width}"
        row = row_bits(rows)
        super().__init__({
            "read_row": In(row), "read_set": In(1), "first": In(1), "start": Out(signed(width)),
            "sum": In(signed(width)), "store": In(1), "write_row": In(row), "write_set": In(1), "multiply": In(1),
            "finish": In(1), "finish_set": In(1), "raw": In(1), "finish_raw": In(1),
            "zero": In(signed(8)), "low": In(signed(8)), "high": In(signed(8)),
            "constant": In(8), "configure": In(CONSTANT_BYTES), "configure_set": In(1),
            "lane": Out(signed(LANE_BITS)),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        """The accumulators, constants byte by byte, one requantiser, whose operand rests until it is needed."""
        m = Module()
        memory_inputs = {
            "read_row": self.read_row, "store": self.store, "write_row": self.write_row, "sum": self.sum,
        }  # fmt: skip
        memory = place(m, "accumulators", self._library, Accumulators, self.width, self.rows, inputs=memory_inputs)
        sets = [self._constants(m, number) for number in range(2)]
        reading, writing, finishing = (
            self._chosen(sets, which) for which in (self.read_set, self.write_set, self.finish_set)
        )
        unused = Signal()  # sums of few bits need fewer bytes of bias
        m.d.comb += [
            unused.eq(self.configure.all()),
            self.start.eq(Mux(self.first, reading["bias"], memory.stored)),
        ]
        requantiser_inputs = {
            "accumulator": Mux(self.multiply, self.sum, 0).as_signed(), "multiplier": writing["multiplier"],
            "enable": self.multiply,
            "shift": finishing["shift"], "zero": self.zero, "low": self.low, "high": self.high,
        }  # fmt: skip
        requantiser = place(m, "requantiser", self._library, Requantiser, self.width, inputs=requantiser_inputs)
        accumulator = Signal(signed(self.width), reset_less=True)
        with m.If(self.multiply & self.raw):
            m.d.sync += accumulator.eq(self.sum)
        with m.If(self.finish):
            m.d.sync += self.lane.eq(Mux(self.finish_raw, accumulator, requantiser.result))
        return m

    def _constants(self, m: Module, number: int) -> dict[str, Value]:
        """The constants of one set, each of as many bytes as the machine needs of it."""
        widths = {"bias": self.width, "multiplier": MULTIPLIER_BITS, "shift": SHIFT_BITS}
        constants, byte = {}, 0
        for name, width in widths.items():
            parts = []
            for index in range(CONSTANTS[name]):
                bits = min(8, width - 8 * index)
                if bits > 0:
                    register = Signal(bits, name=f"{name}_{number}_byte{index}", reset_less=True)
                    with m.If(self.configure[byte] & (self.configure_set == number)):
                        m.d.sync += register.eq(self.constant[:bits])
                    parts.append(register)
                byte += 1
            constants[name] = Cat(*parts)
        return constants | {"bias": constants["bias"].as_signed()}

    def _chosen(self, sets: list[dict[str, Value]], which: Value) -> dict[str, Any]:
        return {name: Mux(which, sets[1][name], sets[0][name]) for name in OF_COLUMN}
