"""A cell as hardware: one named signal a gate, exactly the gates of its netlist."""

from amaranth.hdl import Const, Module, Signal, Value, signed, unsigned
from amaranth.lib.wiring import Component, In, Out

from .cells.cell import Cell
from .cells.netlist import AND, NOT, OR


class Multiplier(Component):
    """Combinational multiplier.

    Members: ``a`` In, activation; ``w`` In, weight; ``product`` Out; two's complement where the cell
    is signed. Latency 0.
    """

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        shape = signed if cell.signed else unsigned
        width_a, width_w = cell.widths
        super().__init__(
            {"a": In(shape(width_a)), "w": In(shape(width_w)), "product": Out(shape(cell.product_width))}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        nodes: list[Value] = [Const(0, 1), Const(1, 1), *self.a, *self.w]
        for gate, x, y in self.cell.netlist.gates:
            signal = Signal(name=f"n{len(nodes)}")
            left, right = nodes[x], nodes[y]
            if gate == NOT:
                m.d.comb += signal.eq(~left)
            else:
                m.d.comb += signal.eq(left & right if gate == AND else left | right if gate == OR else left ^ right)
            nodes.append(signal)
        for index, node in enumerate(self.cell.netlist.outputs):
            m.d.comb += self.product[index].eq(nodes[node])
        return m
