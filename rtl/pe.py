"""Processing element of the weight-stationary array: one cell, one adder, three registers."""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib.wiring import Component, In, Out

from .cells.cell import Cell
from .multiplier import Multiplier


class ProcessingElement(Component):
    """``sum_out`` = ``sum_in`` + cell(activation, weight), one cycle later.

    Members: ``activation_in`` In and ``activation_out`` Out, int8, one cycle to the right;
    ``weight_in`` In and ``weight_out`` Out, int8, one step down while ``load`` is high;
    ``sum_in`` In and ``sum_out`` Out, ``sum_width`` bits, one cycle down. Data registers have no
    reset. Throughput one product a cycle.
    """

    def __init__(self, cell: Cell, sum_width: int) -> None:
        self.cell, self.sum_width = cell, sum_width
        super().__init__({
            "activation_in": In(signed(8)), "activation_out": Out(signed(8)),
            "weight_in": In(signed(8)), "weight_out": Out(signed(8)), "load": In(1),
            "sum_in": In(signed(sum_width)), "sum_out": Out(signed(sum_width)),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.multiplier = multiplier = Multiplier(self.cell)
        weight = Signal(signed(8), reset_less=True)
        activation = Signal(signed(8), reset_less=True)
        total = Signal(signed(self.sum_width), reset_less=True)
        with m.If(self.load):
            m.d.sync += weight.eq(self.weight_in)
        m.d.sync += [
            activation.eq(self.activation_in),
            total.eq(self.sum_in + multiplier.product),
        ]
        m.d.comb += [
            multiplier.a.eq(self.activation_in), multiplier.w.eq(weight),
            self.weight_out.eq(weight), self.activation_out.eq(activation), self.sum_out.eq(total),
        ]  # fmt: skip
        return m
