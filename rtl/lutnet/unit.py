"""Weightless MLP of rows of codes: ``spec.lutnet`` without a multiplier, every part at work on a row of its own.

::

    i -> codes -> comparators, look-up tables -> bits -> conditional sum -> accumulators -> outputs -> o
                  (constants and wires)                   entries (ROM) -^
"""

from amaranth.hdl import Module, signed
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from slipstick.errors import UserError

from ..parts.row_buffer import row_beat
from ..spec.lutnet import LutNetSpec
from .front import CODE_WIDTH, LutNetFront
from .sums import ConditionalSums, OutputWord

STEERING = ("step", "read", "bits", "first", "add", "take")
"""Signals from the front to the sums."""


class LutNetUnit(Component):
    """Rows of D int8 codes become the D accumulators of ``spec(row)``.

    Members: ``i`` In, a stream of ``row_beat`` with ``lanes`` codes; ``o`` Out, a stream of ``row_beat`` with
    as many accumulators of ``spec.accumulator_width`` bits. Every row has D elements. ``parallel`` bits of the
    last layer are summed a cycle, so a row takes the larger of D / ``lanes`` and N / ``parallel`` cycles.
    Raises UserError for a spec with another number of outputs than features, fewer than 1 or more than D
    lanes, and fewer than 1 or more than N bits a cycle.
    """

    clocked = resettable = True

    def __init__(self, spec: LutNetSpec, lanes: int = 1, parallel: int = 1) -> None:
        self.features, outputs = len(spec.thresholds), spec.entries.shape[1]
        bits = len(spec.entries)
        if outputs != self.features:
            raise UserError(f"weightless MLP unit: rows of {self.features} codes cannot become rows of {outputs}")
        if not 1 <= lanes <= self.features:
            raise UserError(f"weightless MLP unit: {lanes} lanes for rows of {self.features} codes")
        if not 1 <= parallel <= bits:
            raise UserError(f"weightless MLP unit: {parallel} of {bits} bits a cycle")
        self.spec, self.lanes, self.parallel = spec, lanes, parallel
        self.beats, self.steps = -(-self.features // lanes), -(-bits // parallel)
        self.module_name = f"lutnet_d{self.features}_n{bits}_p{lanes}_s{parallel}"
        self.sum_shape = signed(spec.accumulator_width)
        super().__init__({
            "i": In(stream.Signature(row_beat(signed(CODE_WIDTH), lanes))),
            "o": Out(stream.Signature(row_beat(self.sum_shape, lanes))),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        """The front, the sums, and the accumulators that leave."""
        m = Module()
        m.submodules.front = front = LutNetFront(self.spec, self.lanes, self.parallel)
        m.submodules.conditional_sums = sums = ConditionalSums(
            self.spec.entries, self.spec.entry_width, self.sum_shape, self.parallel
        )
        m.submodules.multiplexer = word = OutputWord(self.features, self.sum_shape, self.lanes)
        m.d.comb += [getattr(sums, name).eq(getattr(front, name)) for name in STEERING]
        beat = self.o.payload
        m.d.comb += [
            front.i.payload.eq(self.i.payload), front.i.valid.eq(self.i.valid), self.i.ready.eq(front.i.ready),
            word.sums.eq(sums.sums), word.place.eq(front.place), beat.data.eq(word.word),
            beat.keep.eq(front.keep), beat.last.eq(front.last),
            self.o.valid.eq(front.valid), front.ready.eq(self.o.ready),
        ]  # fmt: skip
        return m
