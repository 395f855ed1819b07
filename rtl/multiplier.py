"""A cell as hardware: one named signal a gate, exactly the gates of its netlist."""

from amaranth.hdl import Cat, Const, Module, Signal, Value, signed, unsigned
from amaranth.lib.wiring import Component, In, Out

from .cells.cell import Cell
from .cells.netlist import AND, NOT, OR
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
        read = {node for _, x, y in self.cell.netlist.gates for node in (x, y)} | set(self.cell.netlist.outputs)
        if not read.issuperset(range(2, self.cell.netlist.first_gate)):
            unused = Signal()  # lint asks who reads the operand bits that the cell ignores
            m.d.comb += unused.eq(Cat(self.a, self.w).all())
        return m
