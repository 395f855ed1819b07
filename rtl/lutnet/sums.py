"""Conditional sums of the weightless MLP unit: rows of entries out of a ROM, added where a bit is 1.

Nothing here decides when: ``LutNetFront`` does. Every output has a column of the ROM, an accumulator and a register
of its own, so some outputs alone are a smaller instance of the same.
"""

from itertools import zip_longest
from typing import Any

import numpy as np
from amaranth.hdl import Cat, Module, Mux, ResetSignal, Shape, Signal, Value, ValueLike, signed
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import ceil_log2

from ..parts.tree import plus, tree


class ConditionalSums(Component):
    """D accumulators of ``shape`` over ``entries`` int64 [N, D] of ``entry_width`` bits, ``parallel`` bits a cycle.

    Members: ``step`` In, the number of the bits that come next cycle, while ``read``; ``bits`` In, ``parallel`` of
    them, of which the ``first`` of a row forget the row before, while ``add``; ``take`` In, to hold the accumulators
    in ``sums`` Out, D elements of ``shape``.
    """

    clocked = resettable = True

    def __init__(self, entries: np.ndarray, entry_width: int, shape: Shape, parallel: int) -> None:
        self.entries, self.entry_width, self.shape, self.parallel = entries, entry_width, shape, parallel
        self.steps = -(-len(entries) // parallel)
        self.module_name = f"conditional_sums_d{entries.shape[1]}_n{len(entries)}_s{parallel}"
        super().__init__({
            "step": In(max(1, ceil_log2(self.steps))), "read": In(1), "bits": In(parallel), "first": In(1),
            "add": In(1), "take": In(1), "sums": Out(data.ArrayLayout(shape, entries.shape[1])),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        """Read, add and hold."""
        m = Module()
        reset_unused = Signal()  # none of these registers needs one
        m.d.comb += reset_unused.eq(ResetSignal())
        rows = self._rows(m)
        outputs = Signal(data.ArrayLayout(self.shape, self.entries.shape[1]), name="outputs", reset_less=True)
        accumulators = []
        for output in range(self.entries.shape[1]):
            name = f"accumulator_{output}"
            accumulator = Signal(self.shape, name=name, reset_less=True)
            terms = [Mux(self.bits[row], rows[row][output], 0) for row in range(self.parallel)]
            total = tree(m, [*terms, Mux(self.first, 0, accumulator)], plus, self.shape, name=f"{name}_next")
            with m.If(self.add):
                m.d.sync += accumulator.eq(total)
            accumulators.append(accumulator)
        with m.If(self.take):
            m.d.sync += outputs.eq(Cat(*accumulators))
        m.d.comb += self.sums.eq(outputs)
        return m

    def _rows(self, m: Module) -> Any:
        """The rows of entries of a step: [parallel][D].

        The address is what waits, not the word, which is hundreds of times as wide; a memory with such an address
        would be mapped the other way round.
        """
        outputs = self.entries.shape[1]
        padded = np.zeros((self.steps * self.parallel, outputs), np.int64)
        padded[: len(self.entries)] = self.entries
        word = data.ArrayLayout(data.ArrayLayout(signed(self.entry_width), outputs), self.parallel)
        rows: list[Any] = [word.const(one) for one in padded.reshape(self.steps, self.parallel, outputs).tolist()]
        if self.steps == 1:  # always the same word
            unused = Signal(2, name="step_unused")
            m.d.comb += unused.eq(Cat(self.step, self.read))
            return rows[0]
        held = Signal.like(self.step, name="step_held", reset_less=True)
        with m.If(self.read):
            m.d.sync += held.eq(self.step)
        for bit in held:
            pairs = zip_longest(rows[::2], rows[1::2])
            rows = [low if high is None else Mux(bit, high, low) for low, high in pairs]
        entries = Signal(word, name="entries")
        m.d.comb += entries.eq(rows[0])
        return entries


class OutputWord(Component):
    """The accumulators of beat ``place`` of a row: ``sums`` In, D of ``shape``; ``word`` Out, ``lanes`` of them."""

    clocked = False

    def __init__(self, outputs: int, shape: Shape, lanes: int) -> None:
        self.lanes, self.shape = lanes, shape
        self.module_name = f"output_word_d{outputs}_p{lanes}"
        self.beats = -(-outputs // lanes)
        super().__init__({
            "sums": In(data.ArrayLayout(shape, outputs)), "place": In(max(1, ceil_log2(self.beats))),
            "word": Out(data.ArrayLayout(shape, lanes)),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        """A multiplexer."""
        m = Module()
        if self.beats == 1:
            place_unused = Signal.like(self.place)
            m.d.comb += place_unused.eq(self.place)
        m.d.comb += self.word.eq(word_of(m, self.sums, self.place, self.lanes * self.shape.width, name="output_word"))
        return m


def word_of(m: Module, value: ValueLike, place: Signal, width: int, *, name: str) -> Signal:
    """Bits ``place`` * ``width`` and up of ``value``, 0 beyond its end; any further place is the last one."""
    word = Signal(width, name=name)
    bits = Value.cast(value)
    *words, rest = (bits[start : start + width] for start in range(0, len(bits), width))
    with m.Switch(place):
        for number, own in enumerate(words):
            with m.Case(number):
                m.d.comb += word.eq(own)
        with m.Default():
            m.d.comb += word.eq(rest)
    return word
