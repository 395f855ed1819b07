"""A cell as hardware: one named signal a gate, exactly the gates of its netlist."""

from amaranth.hdl import Module, signed, unsigned
from amaranth.lib.wiring import Component, In, Out

from ..cells.cell import Cell
from .gates import place_gates
from .place import Library


class Multiplier(Component):
    """Combinational multiplier.

    Members: ``a`` In, activation; ``w`` In, weight; ``product`` Out; two's complement where the cell
    is signed. Latency 0.
    """

    clocked = False

    def __init__(self, cell: Cell, library: Library | None = None) -> None:
        self.cell = cell
        self.module_name = f"mul_{cell.name}"
        shape = signed if cell.signed else unsigned
        width_a, width_w = cell.widths
        super().__init__({"a": In(shape(width_a)), "w": In(shape(width_w)), "product": Out(shape(cell.product_width))})

    def elaborate(self, platform: object) -> Module:
        """Gate by gate."""
        m = Module()
        for index, bit in enumerate(place_gates(m, self.cell.netlist, self.a, self.w)):
            m.d.comb += self.product[index].eq(bit)  # assigned whole, Amaranth would make the bits the module's ports
        return m
