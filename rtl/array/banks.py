"""Two registers in the place of one: one works while the other is loaded."""

from collections.abc import Sequence
from itertools import accumulate

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib.wiring import Component, In, Out

from ..parts.place import Library, place

GATED_BITS = 64
"""Bits of neighbours that share a clock gate: what one drives in common libraries."""


class Banks(Component):
    """Two registers of ``width`` bits, without reset.

    Members: ``d`` In goes to register ``write_bank`` In where ``write`` In; ``q`` Out shows register ``bank`` In.
    """

    clocked = True

    def __init__(self, width: int, library: Library | None = None) -> None:
        self.width = width
        self.module_name = f"banks_w{width}"
        super().__init__({
            "d": In(width), "write": In(1), "write_bank": In(1), "bank": In(1), "q": Out(width),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        """Two registers and a multiplexer."""
        m = Module()
        registers = [Signal(self.width, name=f"bank_{number}", reset_less=True) for number in range(2)]
        for number, register in enumerate(registers):
            with m.If(self.write & (self.write_bank == number)):
                m.d.sync += register.eq(self.d)
        m.d.comb += self.q.eq(Mux(self.bank, registers[1], registers[0]))
        return m


def place_banks(
    m: Module,
    name: str,
    library: Library | None,
    words: Sequence[Value],
    *,
    write: Value,
    write_bank: Value,
    bank: Value,
) -> list[Value]:
    """The banked words of neighbours that are written and chosen together, in groups of up to GATED_BITS bits."""
    shown: list[Value] = []
    for number, group in enumerate(grouped([len(word) for word in words])):
        inputs = {"d": Cat(*(words[i] for i in group)), "write": write, "write_bank": write_bank, "bank": bank}
        width = sum(len(words[i]) for i in group)
        if not width:  # sums of few bits need fewer bytes of bias
            shown += [Cat() for _ in group]
            continue
        q = Value.cast(place(m, f"{name}_{number}", library, Banks, width, inputs=inputs).q)
        ends = list(accumulate(len(words[i]) for i in group))
        shown += [q[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    return shown


def grouped(widths: Sequence[int]) -> list[list[int]]:
    """Indices of words of these widths in groups of at most GATED_BITS bits, or of one word."""
    groups: list[list[int]] = [[]]
    for index, width in enumerate(widths):
        if groups[-1] and sum(widths[i] for i in groups[-1]) + width > GATED_BITS:
            groups.append([])
        groups[-1].append(index)
    return groups
