"""Front of the weightless MLP unit: codes of rows in, the bits of their last tables out, and when to add what."""

from typing import Any

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import ceil_log2

from ..parts.pipeline import Pipeline, pipeline
from ..parts.row_buffer import row_beat
from ..spec.lutnet import CODE_RANGE, LutLayerSpec, LutNetSpec
from .sums import word_of

CODE_WIDTH = 8
SUM_STAGES = 2  # registers of the conditional sum: the ROM's address, the accumulators


class LutNetFront(Component):
    """Codes, comparators, look-up tables and all control: ``LutNetUnit`` without its sums.

    Members: ``i`` In as there; ``step``, ``read``, ``bits``, ``first``, ``add``, ``take`` Out as ``ConditionalSums``
    has them; ``valid`` Out, ``ready`` In, ``keep`` and ``last`` Out of the beat of accumulators ``place`` Out.
    """

    clocked = resettable = True

    def __init__(self, spec: LutNetSpec, lanes: int, parallel: int) -> None:
        self.spec, self.lanes, self.parallel = spec, lanes, parallel
        self.features = len(spec.thresholds)
        self.beats, self.steps = -(-self.features // lanes), -(-len(spec.entries) // parallel)
        self.module_name = f"lutnet_front_d{self.features}_n{len(spec.entries)}_p{lanes}_s{parallel}"
        super().__init__({
            "i": In(stream.Signature(row_beat(signed(CODE_WIDTH), lanes))),
            "step": Out(max(1, ceil_log2(self.steps))), "read": Out(1), "bits": Out(parallel), "first": Out(1),
            "add": Out(1), "take": Out(1),
            "valid": Out(1), "ready": In(1), "keep": Out(lanes), "last": Out(1),
            "place": Out(max(1, ceil_log2(self.beats))),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        """Codes of one row, bits of another, steps of a third."""
        m = Module()
        used = bits_used(self.spec)
        taken, whole = Signal(name="codes_taken"), Signal(name="codes_whole")
        codes = self._codes(m, used[0], taken, whole)
        found = self._thermometer(m, codes, used[0])
        offered, ready = whole, taken
        for place, layer in enumerate(self.spec.layers):
            name = f"layer_{place}"
            bits = stream.Signature(len(used[place + 1])).create(path=(name, "bits"))
            # A pipeline each, so that a row moves up while the next layer still holds another.
            pipe = pipeline(m, offered, bits, stages=1, name=name)
            m.d.comb += ready.eq(offered & pipe.advance)
            found = _layer(m, pipe, layer, found, used[place + 1], name=name)
            m.d.comb += bits.payload.eq(Cat(*found.values()))
            offered, ready = bits.valid, bits.ready

        self._outputs(m, self._steps(m, bits))
        return m

    def _codes(self, m: Module, used: set[int], taken: Signal, whole: Signal) -> dict[int, Signal]:
        """The codes of a row by feature, those that a comparator reads; ``whole`` until ``taken``."""
        beat = self.i.payload
        place = Signal(max(1, ceil_log2(self.beats)), name="code_beat")
        moving = Signal(name="code_moving")
        m.d.comb += [self.i.ready.eq(~whole | taken), moving.eq(self.i.valid & self.i.ready)]
        with m.If(moving):
            m.d.sync += [place.eq(Mux(beat.last, 0, place + 1)), whole.eq(beat.last)]
        with m.Elif(taken):
            m.d.sync += whole.eq(0)

        codes: dict[int, Signal] = {}
        for feature in sorted({bit // self.spec.thresholds.shape[1] for bit in used}):
            own, lane = divmod(feature, self.lanes)
            codes[feature] = code = Signal(signed(CODE_WIDTH), name=f"code_{feature}", reset_less=True)
            comes = Signal(name=f"code_{feature}_comes")
            m.d.comb += comes.eq(moving & beat.keep[lane] & (place == own))
            with m.If(comes):
                m.d.sync += code.eq(beat.data[lane])
        for lane in set(range(self.lanes)) - {feature % self.lanes for feature in codes}:
            unused = Signal(CODE_WIDTH + 1, name=f"lane_{lane}_unused")  # no table looks at any of its codes
            m.d.comb += unused.eq(Cat(beat.data[lane], beat.keep[lane]))
        return codes

    def _thermometer(self, m: Module, codes: dict[int, Signal], used: set[int]) -> dict[int, Value]:
        """Bits by number, each a comparator with a constant."""
        bits: dict[int, Value] = {}
        for bit in sorted(used):
            feature, threshold = divmod(bit, self.spec.thresholds.shape[1])
            bits[bit] = above = Signal(name=f"code_{feature}_above_{threshold}")
            m.d.comb += above.eq(codes[feature] > int(self.spec.thresholds[feature, threshold]))
        return bits

    def _steps(self, m: Module, bits: Any) -> Any:
        """Count the steps of a row, ``parallel`` bits each; the stream of rows whose sum is done."""
        step, last = Signal(max(1, ceil_log2(self.steps)), name="step_number"), Signal(name="step_last")
        steps, sums = (stream.Signature(0).create(path=(name,)) for name in ("steps", "sums"))
        pipe = pipeline(m, bits.valid, steps, stages=SUM_STAGES, name="sum")
        m.d.comb += [last.eq(step == self.steps - 1), bits.ready.eq(pipe.advance & last)]
        with m.If(bits.valid & pipe.advance):
            m.d.sync += step.eq(Mux(last, 0, step + 1))
        chosen = word_of(m, bits.payload, step, self.parallel, name="step_bits")
        ends = pipe.register(last, name="step_last_held", cycles=SUM_STAGES)
        m.d.comb += [
            self.step.eq(step),
            self.read.eq(bits.valid & pipe.advance),
            self.bits.eq(pipe.register(chosen, name="step_bits_held")),
            self.first.eq(pipe.register(step == 0, name="step_first_held")),
            self.add.eq(pipe.advance & pipe.valid[0]),
            sums.valid.eq(steps.valid & ends),
            steps.ready.eq(~ends | sums.ready),
        ]
        return sums

    def _outputs(self, m: Module, sums: Any) -> None:
        """Send the accumulators of a row, ``lanes`` a beat, while the next is summed."""
        holding = Signal(name="output_holding")
        m.d.comb += [
            sums.ready.eq(~holding | (self.ready & self.last)),
            self.take.eq(sums.ready & sums.valid),
            self.valid.eq(holding),
            self.last.eq(self.place == self.beats - 1),
            self.keep.eq(Mux(self.last, (1 << self.features - (self.beats - 1) * self.lanes) - 1, -1)),
        ]
        with m.If(holding & self.ready):
            m.d.sync += self.place.eq(Mux(self.last, 0, self.place + 1))
        with m.If(sums.ready):
            m.d.sync += holding.eq(sums.valid)


def bits_used(spec: LutNetSpec) -> list[set[int]]:
    """Numbers of the bits that count, of the thermometer and of every layer: all of the last one.

    A comparator with the largest code is no bit that counts: it is never true. Nor is one of which every table that
    looks at it gives the same for 0 and 1.
    """
    used = [set(range(len(spec.entries)))]
    for layer in reversed(spec.layers):
        rows = sorted(used[0])
        inputs = zip(layer.mapping[rows], layer.tables[rows], strict=True)
        used.insert(0, {int(bit) for mapping, table in inputs for bit in mapping[depends_on(table)]})
    always_false = set((spec.thresholds.ravel() == CODE_RANGE[1]).nonzero()[0].tolist())
    return [used[0] - always_false, *used[1:]]


def depends_on(table: np.ndarray) -> np.ndarray:
    """Whether a table [2^n] gives anything else when input l changes, bool [n]."""
    arity = len(table).bit_length() - 1
    address = np.arange(len(table))
    return np.array([(table != table[address ^ 1 << place]).any() for place in range(arity)])


def _layer(
    m: Module, pipe: Pipeline, layer: LutLayerSpec, bits: dict[int, Value], used: set[int], *, name: str
) -> dict[int, Value]:
    """Tables of a layer by number, those that are used, in a register of the pipeline; an absent bit is 0."""
    found: dict[int, Value] = {}
    for place in sorted(used):
        address = Signal(layer.arity, name=f"{name}_address_{place}")
        m.d.comb += address.eq(Cat(*(bits.get(bit, Const(0, 1)) for bit in layer.mapping[place].tolist())))
        chosen = Signal(name=f"{name}_chosen_{place}")
        m.d.comb += chosen.eq(_look_up(layer.tables[place].tolist(), list(address)))
        found[place] = pipe.register(chosen, name=f"{name}_table_{place}")
    return found


def _look_up(table: list[int], address: list[Value]) -> Value:
    """A table as multiplexers, the highest input's first; halves that are equal or constant need none."""
    if len(set(table)) == 1:
        return Const(table[0], 1)
    *rest, bit = address
    low, high = table[: len(table) // 2], table[len(table) // 2 :]
    if low == high:
        return _look_up(low, rest)
    if (low, high) == ([0] * len(low), [1] * len(low)):
        return bit
    return Mux(bit, _look_up(high, rest), _look_up(low, rest))
