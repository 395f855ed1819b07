"""One column of a tile: r products, their weights in two banks, one adder tree, one register."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib.wiring import Component, In, Out

from slipstick.store import digest

from ..cells.cell import Cell
from ..cells.dot_form import DotForm, dot_form, shared_encoding
from ..gates import gathered
from ..place import Library, place
from .adder_tree import AdderTree, Term
from .product import Encoder, Product

FLIP_FLOP = 9
"""Gates of a cell's netlist that are worth one flip-flop of a weight bank, by area."""


class DotColumn(Component):
    """``sum_out`` = ``sum_in`` + the products of r activations and the weights of bank ``bank``, one cycle later.

    Members: ``activations`` In, the encoded words of r rows one after another, the first lowest;
    ``weight`` In, int8, goes to the rows of ``write`` In (one bit a row) of bank ``write_bank`` In;
    ``bank`` In multiplies; ``compute`` In moves the register. Neither banks nor register have a reset.
    """

    clocked = True

    def __init__(self, cells: tuple[Cell, ...], width: int, library: Library | None = None) -> None:
        self.forms, self.width, self._library = tuple(map(dot_form, cells)), width, library
        names = [cell.name for cell in cells]
        cells_name = names[0] if len({*names}) == 1 else f"mix_{digest(names)[:8]}"
        self.module_name = f"dot_r{len(cells)}_s{width}_{cells_name}"
        super().__init__({
            "activations": In(sum(len(form.activation.outputs) for form in self.forms)),
            "weight": In(signed(8)), "write": In(len(cells)), "write_bank": In(1),
            "bank": In(1), "compute": In(1),
            "sum_in": In(signed(width)), "sum_out": Out(signed(width)),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        """The encoder of weights that are kept encoded, r products, the tree."""
        m = Module()
        hoisted = list(dict.fromkeys(form for form in self.forms if kept_encoded(form)))
        encoded = {}
        if hoisted:
            shared = shared_encoding([form.weight for form in hoisted])
            encoder = place(m, "weight_encoder", self._library, Encoder, shared, inputs={"operand": self.weight})
            encoded = {
                form: gathered(encoder.encoded, places) for form, places in zip(hoisted, shared.places, strict=True)
            }
        terms, first = [], 0
        for row, form in enumerate(self.forms):
            operand = self.activations[first : first + len(form.activation.outputs)]
            first += len(operand)
            weight = self._bank(m, row, encoded.get(form, self.weight))
            if form not in encoded:
                own = shared_encoding([form.weight])
                decoder = place(m, f"weight_encoder_r{row}", self._library, Encoder, own, inputs={"operand": weight})
                weight = gathered(decoder.encoded, own.places[0])
            inputs = {"activation": operand, "weight": weight}
            product = place(m, f"product_r{row}", self._library, Product, form, inputs=inputs)
            terms.append(product.word)
            if form.has_carry:
                terms.append(product.carry)
        inputs = {"terms": Cat(*terms), "sum_in": self.sum_in}
        shape = tuple(map(Term.of, self.forms))
        tree = place(m, "tree", self._library, AdderTree, shape, self.width, inputs=inputs)
        with m.If(self.compute):
            m.d.sync += self.sum_out.eq(tree.sum_out)
        return m

    def _bank(self, m: Module, row: int, weight: Signal) -> Signal:
        """The weight of one row that multiplies: of two registers, the one that ``bank`` names."""
        registers = []
        for bank in range(2):
            register = Signal(len(weight), name=f"weight_r{row}_b{bank}", reset_less=True)
            with m.If(self.write[row] & (self.write_bank == bank)):
                m.d.sync += register.eq(weight)
            registers.append(register)
        chosen = Signal(len(weight), name=f"weight_r{row}")
        m.d.comb += chosen.eq(Mux(self.bank, registers[1], registers[0]))
        return chosen


def kept_encoded(form: DotForm) -> bool:
    """Whether the banks hold a cell's encoded weights: its encoder costs more than the bits that this adds."""
    added = len(form.weight.outputs) - form.cell.widths[1]
    return len(form.weight.gates) > max(0, 2 * FLIP_FLOP * added)
