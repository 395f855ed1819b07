"""One column of a tile: r products, one adder tree, one register."""

from amaranth.hdl import Cat, Module, signed
from amaranth.lib.wiring import Component, In, Out

from slipstick.store import digest

from ..cells.cell import Cell
from ..cells.dot_form import DotForm, dot_form, shared_encoding
from ..parts.gates import gathered
from ..parts.place import Library, place
from .adder_tree import AdderTree, Term
from .product import Encoder, Product

FLIP_FLOP = 9
"""Gates of a cell's netlist that are worth one flip-flop of a weight bank, by area."""


class DotColumn(Component):
    """``sum_out`` = ``sum_in`` + the products of r activations and r weights, one cycle later.

    Members: ``activations`` In and ``weights`` In, the encoded words of r rows one after another, the first lowest
    (a weight as it is kept: ``kept_width``); ``compute`` In moves the register, which has no reset.
    """

    clocked = True

    def __init__(self, cells: tuple[Cell, ...], width: int, library: Library | None = None) -> None:
        self.forms, self.width, self._library = tuple(map(dot_form, cells)), width, library
        names = [cell.name for cell in cells]
        cells_name = names[0] if len({*names}) == 1 else f"mix_{digest(names)[:8]}"
        self.module_name = f"dot_r{len(cells)}_s{width}_{cells_name}"
        self.content = digest([cell.digest for cell in cells])
        super().__init__({
            "activations": In(sum(len(form.activation.outputs) for form in self.forms)),
            "weights": In(sum(map(kept_width, self.forms))), "compute": In(1),
            "sum_in": In(signed(width)), "sum_out": Out(signed(width)),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        """Encoders of weights that are kept as they are, r products, the tree."""
        m = Module()
        terms, first, held = [], 0, 0
        for row, form in enumerate(self.forms):
            operand = self.activations[first : first + len(form.activation.outputs)]
            weight = self.weights[held : held + kept_width(form)]
            first, held = first + len(operand), held + len(weight)
            if not kept_encoded(form):
                own = shared_encoding([form.weight])
                inputs = {"operand": weight.as_signed()}
                decoder = place(m, f"weight_encoder_r{row}", self._library, Encoder, own, inputs=inputs)
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


def kept_encoded(form: DotForm) -> bool:
    """Whether the banks hold a cell's encoded weights: its encoder costs more than the bits that this adds."""
    added = len(form.weight.outputs) - form.cell.widths[1]
    return len(form.weight.gates) > max(0, 2 * FLIP_FLOP * added)


def kept_width(form: DotForm) -> int:
    """Bits of a weight in the banks."""
    return len(form.weight.outputs) if kept_encoded(form) else form.cell.widths[1]
