"""Weightless MLP of rows of codes: ``spec.lutnet`` without a multiplier, every part at work on a row of its own.

::

    i -> codes -> comparators, look-up tables -> bits -> conditional sum -> accumulators -> outputs -> o
                  (constants and wires)                   entries (ROM) -^
"""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, ValueLike, signed
from amaranth.lib import data, stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import ceil_log2

from slipstick.errors import UserError

from .pipeline import Pipeline, pipeline
from .row_buffer import row_beat
from .spec.lutnet import CODE_RANGE, LutLayerSpec, LutNetSpec
from .tree import plus, tree

CODE_WIDTH = 8
SUM_STAGES = 2  # registers of the conditional sum: what the ROM gives, the accumulators


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
        """Codes of one row, bits of another, accumulators of a third."""
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

        sums = stream.Signature(data.ArrayLayout(self.sum_shape, self.features)).create(path=("sums",))
        self._conditional_sum(m, bits, sums)
        self._outputs(m, sums)
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

    def _conditional_sum(self, m: Module, bits: Any, sums: Any) -> None:
        """Read ``parallel`` rows of entries a cycle and add those whose bit is 1."""
        step, last = Signal(max(1, ceil_log2(self.steps)), name="step"), Signal(name="step_last")
        steps = stream.Signature(0).create(path=("steps",))
        pipe = pipeline(m, bits.valid, steps, stages=SUM_STAGES, name="sum")
        m.d.comb += [last.eq(step == self.steps - 1), bits.ready.eq(pipe.advance & last)]
        with m.If(bits.valid & pipe.advance):
            m.d.sync += step.eq(Mux(last, 0, step + 1))

        chosen = pipe.register(_word(m, bits.payload, step, self.parallel, name="step_bits"), name="step_bits_held")
        starts = pipe.register(step == 0, name="step_first_held")
        ends = pipe.register(last, name="step_last_held", cycles=SUM_STAGES)
        rows = self._entries(m, step, enable=bits.valid & pipe.advance)
        for output in range(self.features):
            name = f"accumulator_{output}"
            accumulator = Signal(self.sum_shape, name=name, reset_less=True)
            terms = [Mux(chosen[row], rows[row][output], 0) for row in range(self.parallel)]
            total = tree(m, [*terms, Mux(starts, 0, accumulator)], plus, self.sum_shape, name=f"{name}_next")
            with m.If(pipe.advance & pipe.valid[0]):
                m.d.sync += accumulator.eq(total)
            m.d.comb += sums.payload[output].eq(accumulator)
        m.d.comb += [sums.valid.eq(steps.valid & ends), steps.ready.eq(~ends | sums.ready)]

    def _entries(self, m: Module, step: Signal, *, enable: ValueLike) -> Any:
        """The rows of entries of a step, one cycle later: [parallel][D]."""
        entries = self.spec.entries.tolist()
        entries += [[0] * self.features] * (self.steps * self.parallel - len(entries))
        words = [entries[start : start + self.parallel] for start in range(0, len(entries), self.parallel)]
        word = data.ArrayLayout(data.ArrayLayout(signed(self.spec.entry_width), self.features), self.parallel)
        if self.steps == 1:  # always the same word
            return word.const(words[0])
        m.submodules.entries = memory = Memory(shape=word, depth=self.steps, init=words)
        port = memory.read_port()
        m.d.comb += [port.addr.eq(step), port.en.eq(enable)]
        return port.data

    def _outputs(self, m: Module, sums: Any) -> None:
        """Hold a row of accumulators and send it, ``lanes`` a beat, while the next is summed."""
        outputs = Signal(data.ArrayLayout(self.sum_shape, self.features), name="outputs", reset_less=True)
        holding, place = Signal(name="output_holding"), Signal(max(1, ceil_log2(self.beats)), name="output_beat")
        beat = self.o.payload
        m.d.comb += [
            sums.ready.eq(~holding | (self.o.ready & beat.last)),
            self.o.valid.eq(holding),
            beat.data.eq(_word(m, outputs, place, self.lanes * self.sum_shape.width, name="output_word")),
            beat.last.eq(place == self.beats - 1),
            beat.keep.eq(Mux(beat.last, (1 << self.features - (self.beats - 1) * self.lanes) - 1, -1)),
        ]
        with m.If(holding & self.o.ready):
            m.d.sync += place.eq(Mux(beat.last, 0, place + 1))
        with m.If(sums.ready):
            m.d.sync += holding.eq(sums.valid)
        with m.If(sums.ready & sums.valid):
            m.d.sync += outputs.eq(sums.payload)


def bits_used(spec: LutNetSpec) -> list[set[int]]:
    """Numbers of the bits that count, of the thermometer and of every layer: all of the last one.

    A comparator with the largest code is no bit that counts: it is never true.
    """
    used = [set(range(len(spec.entries)))]
    for layer in reversed(spec.layers):
        used.insert(0, set(layer.mapping[sorted(used[0])].ravel().tolist()))
    always_false = set((spec.thresholds.ravel() == CODE_RANGE[1]).nonzero()[0].tolist())
    return [used[0] - always_false, *used[1:]]


def _layer(
    m: Module, pipe: Pipeline, layer: LutLayerSpec, bits: dict[int, Value], used: set[int], *, name: str
) -> dict[int, Value]:
    """Tables of a layer by number, those that are used, in a register of the pipeline; an absent bit is 0."""
    found: dict[int, Value] = {}
    for place in sorted(used):
        address = Signal(layer.arity, name=f"{name}_address_{place}")
        m.d.comb += address.eq(Cat(*(bits.get(bit, Const(0, 1)) for bit in layer.mapping[place].tolist())))
        pattern = sum(value << at for at, value in enumerate(layer.tables[place].tolist()))
        chosen = (Const(pattern, 1 << layer.arity) >> address)[0]  # lint wants bit_select's width spelled out
        found[place] = pipe.register(chosen, name=f"{name}_table_{place}")
    return found


def _word(m: Module, value: ValueLike, place: Signal, width: int, *, name: str) -> Signal:
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
