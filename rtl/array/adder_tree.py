"""The adder tree of a dot product: all products, their carries and the sum from above, in one reduction."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Module, signed
from amaranth.lib.wiring import Component, In, Out

from slipstick.store import digest

from ..cells.bits import AnyBit, prefix_add
from ..cells.columns import Columns, add_constant, add_word, earliest_first_add
from ..cells.dot_form import DotForm
from ..cells.netlist import Netlist
from ..parts.gates import place_gates
from ..parts.place import Library


@dataclass(frozen=True)
class Term:
    """A product in the tree: two's complement of ``width`` bits, the lowest ``low`` always 0, and its carry's place."""

    width: int
    low: int
    carry: int | None

    @classmethod
    def of(cls, form: DotForm) -> "Term":
        """The term that a cell adds."""
        return cls(form.product_width, form.low, form.carry_place if form.has_carry else None)

    @property
    def bits(self) -> int:
        """Bits that enter the tree."""
        return self.width - self.low + (self.carry is not None)


def tree_netlist(terms: Sequence[Term], width: int) -> Netlist:
    """Sum modulo 2^width of a word of that width and of the terms, as gates: a tree, then a prefix adder.

    Operand a holds the terms' bits one after another, a carry behind its word; operand w is the word.
    """

    def add(a: list[Any], w: list[Any]) -> Sequence[AnyBit]:
        columns: Columns = [[] for _ in range(width)]
        constant, place = 0, 0
        for term in terms:
            *word, sign = a[place : place + term.width - term.low]
            add_word(columns, word, term.low)
            add_word(columns, [sign ^ 1], term.width - 1)  # -s 2^n = (1 - s) 2^n - 2^n
            constant -= 1 << (term.width - 1)
            if term.carry is not None:
                add_word(columns, [a[place + term.width - term.low]], term.carry)
            place += term.bits
        add_word(columns, w)
        add_constant(columns, constant)
        return earliest_first_add(columns, prefix_add)

    return Netlist.trace(add, (sum(term.bits for term in terms), width))


class AdderTree(Component):
    """``sum_out`` = ``sum_in`` + all terms, modulo 2^width, combinational.

    Members: ``terms`` In, the bits of every term that are not always 0, a carry behind its word, the first
    term lowest; ``sum_in`` In and ``sum_out`` Out, ``width`` bits.
    """

    clocked, structural = False, True

    def __init__(self, terms: tuple[Term, ...], width: int, library: Library | None = None) -> None:
        self.terms_of, self.width = terms, width
        shape = digest([[term.width, term.low, term.carry] for term in terms])[:8]
        self.module_name = f"adder_tree_r{len(terms)}_s{width}_{shape}"
        super().__init__({
            "terms": In(sum(term.bits for term in terms)),
            "sum_in": In(signed(width)), "sum_out": Out(signed(width)),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        """Gate by gate."""
        m = Module()
        outputs = place_gates(m, tree_netlist(self.terms_of, self.width), self.terms, self.sum_in)
        m.d.comb += self.sum_out.eq(Cat(*outputs))
        return m
