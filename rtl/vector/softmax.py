"""Softmax of rows of accumulators: ``spec.softmax`` in three passes that work on three rows at a time.

::

    i -> largest -> [row buffer] -> exponentials -> [row buffer] -> probabilities -> o
                                         sum -> reciprocal -^
"""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

from slipstick.errors import UserError

from ..parts.pipeline import pipeline
from ..parts.row_buffer import RowBuffer, row_beat, split_row
from ..parts.tree import larger, plus, tree
from ..spec.fixed import MULTIPLIER_BITS
from ..spec.rows import leading_one
from ..spec.softmax import SoftmaxSpec
from .pwl import pwl_result

EXPONENTIAL_STAGES, RECIPROCAL_STAGES = 6, 4


class SoftmaxUnit(Component):
    """Rows of up to ``spec.length`` accumulators become ``spec(row)``, one beat a cycle without a pause.

    Members: ``i`` In, a stream of ``row_beat`` with ``lanes`` accumulators of ``width`` bits; ``o`` Out, a
    stream of ``row_beat`` with as many probability codes, 0 where ``keep`` is 0. A longer row stops the
    unit for ever. Raises UserError for a spec whose shifts hardware cannot do, or no lanes.
    """

    clocked = resettable = True

    def __init__(self, spec: SoftmaxSpec, lanes: int = 1, width: int = 32) -> None:
        if lanes < 1 or spec.reciprocal.fraction < spec.fraction:
            raise UserError(
                f"softmax unit: {lanes} lanes, reciprocals of {spec.reciprocal.fraction} fraction bits "
                f"for probabilities of {spec.fraction}"
            )
        self.spec, self.lanes, self.width = spec, lanes, width
        self.module_name = f"softmax_t{spec.length}_p{lanes}"
        super().__init__({
            "i": In(stream.Signature(row_beat(signed(width), lanes))),
            "o": Out(stream.Signature(row_beat(unsigned(spec.high.bit_length()), lanes))),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        """Three passes between two buffers."""
        m = Module()
        spec, row_beats = self.spec, -(-self.spec.length // self.lanes)
        exponentials = row_beat(unsigned(spec.exponential_width), self.lanes)
        place = range(spec.sum_width)
        divisor = data.StructLayout({"reciprocal": signed(spec.reciprocal.result_width), "place": place})
        m.submodules.accumulators = accumulators = RowBuffer(self.i.payload.shape(), signed(self.width), row_beats)
        m.submodules.exponentials = buffer = RowBuffer(exponentials, divisor, row_beats, RECIPROCAL_STAGES)
        self._largest(m, accumulators)
        total = stream.Signature(unsigned(spec.sum_width)).create(path=("total",))
        self._exponentials(m, accumulators.o, buffer, total)
        self._reciprocal(m, total, buffer.results)
        self._probabilities(m, buffer.o)
        return m

    def _largest(self, m: Module, buffer: RowBuffer) -> None:
        """First pass: the largest of each row."""
        beats = stream.Signature(self.i.payload.shape()).create(path=("first",))
        pipe = pipeline(m, self.i.valid, beats, stages=1, name="first")
        least = -(1 << (self.width - 1))
        beat = self.i.payload
        kept = [Mux(beat.keep[lane], beat.data[lane], least) for lane in range(self.lanes)]
        own = pipe.register(tree(m, kept, larger, signed(self.width), name="beat_largest"), name="beat_largest_held")
        m.d.comb += [self.i.ready.eq(pipe.advance), beats.payload.eq(pipe.register(beat, name="first_beat"))]

        running = Signal(signed(self.width), init=least)
        largest = Signal(signed(self.width))
        m.d.comb += [largest.eq(larger(running, own)), buffer.results.payload.eq(largest)]
        with m.If(split_row(m, beats, buffer, buffer.results)):
            m.d.sync += running.eq(Mux(beats.payload.last, least, largest))

    def _exponentials(self, m: Module, source: Any, buffer: RowBuffer, total: Any) -> None:
        """Second pass: every exponential, and the sum of each row."""
        spec = self.spec
        beats = stream.Signature(buffer.beats.payload.shape()).create(path=("second",))
        pipe = pipeline(m, source.valid, beats, stages=EXPONENTIAL_STAGES, name="second")
        m.d.comb += source.ready.eq(pipe.advance)
        beat = source.payload.beat
        keep = pipe.register(beat.keep, name="second_keep", cycles=EXPONENTIAL_STAGES - 1)
        last = pipe.register(beat.last, name="second_last", cycles=EXPONENTIAL_STAGES)
        found: list[Signal] = []
        for lane in range(self.lanes):
            name = f"lane_{lane}"
            difference = Signal(signed(self.width + 1), name=f"{name}_difference")
            m.d.comb += difference.eq(beat.data[lane] - source.payload.result)
            difference = pipe.register(difference, name=f"{name}_below_largest")
            product = Signal(signed(self.width + 1 + MULTIPLIER_BITS), name=f"{name}_product")
            m.d.comb += product.eq(difference * spec.multiplier)
            product = pipe.register(product, name=f"{name}_scaled")
            code = Signal(signed(spec.exponential.input_width), name=f"{name}_code_next")
            m.d.comb += code.eq(spec.rounded_code(product, Mux))
            code = pipe.register(code, name=f"{name}_input")
            result = pwl_result(pipe, code, spec.exponential, name=name)
            exponential = Signal(spec.exponential_width, name=f"{name}_exponential")
            m.d.comb += exponential.eq(Mux(keep[lane] & (result >= 0), result, 0))
            found.append(exponential)
        summed = pipe.register(tree(m, found, plus, unsigned(spec.sum_width), name="beat_sum"), name="beat_sum_held")
        held = [pipe.register(one, name=f"{one.name}_held") for one in found]
        kept = pipe.register(keep, name="second_kept")
        m.d.comb += [beats.payload.data.eq(Cat(*held)), beats.payload.keep.eq(kept), beats.payload.last.eq(last)]

        running = Signal(spec.sum_width)
        m.d.comb += total.payload.eq(running + summed)
        with m.If(split_row(m, beats, buffer, total)):
            m.d.sync += running.eq(Mux(last, 0, total.payload))

    def _reciprocal(self, m: Module, total: Any, sink: Any) -> None:
        """What divides a row: the reciprocal of its sum's mantissa, and the place of its leading one."""
        spec = self.spec
        pipe = pipeline(m, total.valid, sink, stages=RECIPROCAL_STAGES, name="reciprocal")
        m.d.comb += total.ready.eq(pipe.advance)
        place = Signal(range(spec.sum_width), name="sum_place")
        m.d.comb += place.eq(leading_one(total.payload, spec.sum_width, Mux))
        place = pipe.register(place, name="sum_place_held")
        mantissa = Signal(signed(spec.reciprocal.input_width), name="sum_mantissa")
        m.d.comb += mantissa.eq(spec.mantissa(pipe.register(total.payload, name="sum_held"), place))
        mantissa = pipe.register(mantissa, name="sum_mantissa_held")
        result = pwl_result(pipe, mantissa, spec.reciprocal, name="reciprocal")
        places = pipe.register(place, name="reciprocal_place", cycles=RECIPROCAL_STAGES - 1)
        m.d.comb += [sink.payload.reciprocal.eq(result), sink.payload.place.eq(places)]

    def _probabilities(self, m: Module, source: Any) -> None:
        """Third pass: every exponential times the row's reciprocal."""
        spec, beat, divisor = self.spec, source.payload.beat, source.payload.result
        pipe = pipeline(m, source.valid, self.o, stages=2, name="third")
        m.d.comb += source.ready.eq(pipe.advance)
        place = pipe.register(divisor.place, name="third_place")
        for lane in range(self.lanes):
            product = Signal(
                signed(spec.exponential_width + spec.reciprocal.result_width + 1), name=f"lane_{lane}_share"
            )
            m.d.comb += product.eq(beat.data[lane] * divisor.reciprocal)
            product = pipe.register(product, name=f"lane_{lane}_share_held")
            code = Signal(spec.high.bit_length(), name=f"lane_{lane}_probability")
            m.d.comb += code.eq(spec.rounded_probability(product, place, Mux))
            m.d.comb += self.o.payload.data[lane].eq(pipe.register(code, name=f"lane_{lane}_output"))
        m.d.comb += [
            self.o.payload.keep.eq(pipe.register(beat.keep, name="third_keep", cycles=2)),
            self.o.payload.last.eq(pipe.register(beat.last, name="third_last", cycles=2)),
        ]
