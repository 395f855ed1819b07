"""The memory of one column's sums."""

from amaranth.hdl import Module, signed
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import ceil_log2

from ..parts.place import Library


class Accumulators(Component):
    """``rows`` words of ``width`` bits, without reset.

    Members: ``read_row`` In shows its word at ``stored`` Out in the same cycle; ``store`` In writes ``sum`` In to
    ``write_row`` In at the end of the cycle.
    """

    clocked = True

    def __init__(self, width: int, rows: int, library: Library | None = None) -> None:
        self.width, self.rows = width, rows
        self.module_name = f"accumulators_{rows}_w{width}"
        row = row_bits(rows)
        super().__init__({
            "read_row": In(row), "stored": Out(signed(width)),
            "store": In(1), "write_row": In(row), "sum": In(signed(width)),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        """A memory with one port to read and one to write."""
        m = Module()
        m.submodules.memory = memory = Memory(shape=signed(self.width), depth=self.rows, init=[])
        read_port, write_port = memory.read_port(domain="comb"), memory.write_port()
        m.d.comb += [
            read_port.addr.eq(self.read_row), self.stored.eq(read_port.data),
            write_port.en.eq(self.store), write_port.addr.eq(self.write_row), write_port.data.eq(self.sum),
        ]  # fmt: skip
        return m


def row_bits(rows: int) -> int:
    """Bits that name a row."""
    return max(1, ceil_log2(rows))
