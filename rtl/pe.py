"""Processing element of the weight-stationary array: one cell, one adder, three registers."""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib.wiring import Component, In, Out

from .cells.cell import Cell
from .multiplier import Multiplier
from .place import Library, place


class ProcessingElement(Component):
    """``sum_out`` = ``sum_in`` + cell(activation, weight), one cycle later.

    Members: ``activation_in`` In and ``activation_out`` Out, int8, one cycle to the right;
    ``weight_in`` In and ``weight_out`` Out, int8, one step down while ``load`` is high;
    ``sum_in`` In and ``sum_out`` Out, ``sum_width`` bits, one cycle down. The outputs are the three
    registers; none needs a reset. Throughput one product a cycle.
    """

    clocked = True

    def __init__(self, cell: Cell, sum_width: int, library: Library | None = None) -> None:
        self.cell, self.sum_width, self._library = cell, sum_width, library
        self.module_name = f"pe_{cell.name}_s{sum_width}"
        super().__init__({
            "activation_in": In(signed(8)), "activation_out": Out(signed(8)),
            "weight_in": In(signed(8)), "weight_out": Out(signed(8)), "load": In(1),
            "sum_in": In(signed(sum_width)), "sum_out": Out(signed(sum_width)),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        """The cell, the adder and the registers."""
        m = Module()
        operands = {"a": self.activation_in, "w": self.weight_out}
        multiplier = place(m, "multiplier", self._library, Multiplier, self.cell, inputs=operands)
        product = Signal(signed(self.sum_width))
        m.d.comb += product.eq(multiplier.product)
        if self.sum_width < self.cell.product_width:
            unused = Signal()  # lint asks who reads the copies of the sign that no product of this cell needs
            m.d.comb += unused.eq(multiplier.product.all())
        with m.If(self.load):
            m.d.sync += self.weight_out.eq(self.weight_in)
        m.d.sync += [
            self.activation_out.eq(self.activation_in),
            self.sum_out.eq(self.sum_in + product),
        ]
        return m
