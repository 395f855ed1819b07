"""What of a cell stands in every processing element, and what stands once a row."""

from amaranth.hdl import Cat, Module, signed
from amaranth.lib.wiring import Component, In, Out

from ..cells.dot_form import DotForm, Encoding
from ..cells.registry import FAMILIES
from ..parts.gates import place_gates
from ..parts.place import Library


class Product(Component):
    """``cell.table[a, w]`` = ``word + carry * 2^place`` of encoded operands, combinational.

    Members: ``activation`` and ``weight`` In, as encoded by the cell's ``dot_form``; ``word`` Out, two's
    complement without the low bits that are always 0; ``carry`` Out, where the form has one. ``structural``: the
    cell's family drew its gates, and synthesis should keep them; an evolved or imported netlist is better restructured.
    """

    clocked = False

    def __init__(self, form: DotForm, library: Library | None = None) -> None:
        self.form = form
        self.module_name, self.content = f"product_{form.cell.name}", form.cell.digest
        self.structural = form.cell.family in FAMILIES
        super().__init__({
            "activation": In(len(form.activation.outputs)), "weight": In(len(form.weight.outputs)),
            "word": Out(signed(form.product_width - form.low)), **({"carry": Out(1)} if form.has_carry else {}),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        """Gate by gate."""
        m = Module()
        outputs = place_gates(m, self.form.core, self.activation, self.weight)
        m.d.comb += self.word.eq(Cat(*outputs[self.form.low : self.form.product_width]))
        if self.form.has_carry:
            m.d.comb += self.carry.eq(outputs[-1])
        return m


class Encoder(Component):
    """``encoded`` Out is the word that cells read of an ``operand`` In, int8; combinational."""

    clocked = False

    def __init__(self, encoding: Encoding, library: Library | None = None) -> None:
        self.netlist = encoding.netlist
        self.module_name = f"encoder_{encoding.netlist.digest[:8]}"
        super().__init__({"operand": In(signed(8)), "encoded": Out(len(encoding.netlist.outputs))})

    def elaborate(self, platform: object) -> Module:
        """Gate by gate."""
        m = Module()
        operands = (self.operand[:width] for width in self.netlist.widths)
        m.d.comb += self.encoded.eq(Cat(*place_gates(m, self.netlist, *operands)))
        return m
