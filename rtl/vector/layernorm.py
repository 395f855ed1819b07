"""LayerNorm of rows of int16 codes: ``spec.layernorm`` in three passes that work on three rows at a time.

::

    i -> sum -> [row buffer] -> deviations -> [row buffer] -> units -> gains and biases -> o
          mean -^                 squares -> reciprocal root -^
"""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

from slipstick.errors import UserError

from ..parts.pipeline import pipeline
from ..parts.row_buffer import RowBuffer, row_beat, split_row
from ..parts.tree import plus, tree
from ..spec.fixed import MULTIPLIER_BITS
from ..spec.layernorm import INPUT_WIDTH, UNIT_FRACTION, LayerNormSpec
from ..spec.rows import leading_one
from ..spec.widths import signed_width
from .channels import channel_constants
from .pwl import pwl_result

MEAN_STAGES, DEVIATION_STAGES, ROOT_STAGES, OUTPUT_STAGES = 2, 3, 4, 4
DEVIATION_WIDTH = INPUT_WIDTH + 1


class LayerNormUnit(Component):
    """Rows of ``spec.dim`` codes become ``spec(row)``, one beat a cycle without a pause.

    Members: ``i`` In, a stream of ``row_beat`` with ``lanes`` int16 codes; ``o`` Out, a stream of
    ``row_beat`` with as many output codes. Every row has ``spec.dim`` elements; only its last beat may
    leave some out (``keep``), whose outputs mean nothing. Raises UserError without lanes.
    """

    clocked = resettable = True

    def __init__(self, spec: LayerNormSpec, lanes: int = 1) -> None:
        if lanes < 1:
            raise UserError(f"a LayerNorm unit has at least one lane, not {lanes}")
        self.spec, self.lanes, self.row_beats = spec, lanes, -(-spec.dim // lanes)
        self.module_name = f"layernorm_d{spec.dim}_p{lanes}"
        super().__init__({
            "i": In(stream.Signature(row_beat(signed(INPUT_WIDTH), lanes))),
            "o": Out(stream.Signature(row_beat(signed(signed_width(spec.low, spec.high)), lanes))),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        """Three passes between two buffers."""
        m = Module()
        spec, lanes = self.spec, self.lanes
        half = range((spec.square_width + 1) // 2)
        divisor = data.StructLayout({"root": signed(spec.root.result_width), "half": half})
        deviations = row_beat(signed(DEVIATION_WIDTH), lanes)
        m.submodules.codes = codes = RowBuffer(
            self.i.payload.shape(), signed(DEVIATION_WIDTH), self.row_beats, MEAN_STAGES
        )
        m.submodules.deviations = buffer = RowBuffer(deviations, divisor, self.row_beats, ROOT_STAGES)
        total = stream.Signature(signed(spec.sum_width)).create(path=("total",))
        self._sum(m, codes, total)
        self._mean(m, total, codes.results)
        squares = stream.Signature(unsigned(spec.square_width)).create(path=("squares",))
        self._deviations(m, codes.o, buffer, squares)
        self._root(m, squares, buffer.results)
        self._outputs(m, buffer.o)
        return m

    def _sum(self, m: Module, buffer: RowBuffer, total: Any) -> None:
        """First pass: the sum of each row."""
        beats = stream.Signature(self.i.payload.shape()).create(path=("first",))
        pipe = pipeline(m, self.i.valid, beats, stages=1, name="first")
        beat, shape = self.i.payload, signed(self.spec.sum_width)
        kept = [Mux(beat.keep[lane], beat.data[lane], 0) for lane in range(self.lanes)]
        own = pipe.register(tree(m, kept, plus, shape, name="beat_sum"), name="beat_sum_held")
        m.d.comb += [self.i.ready.eq(pipe.advance), beats.payload.eq(pipe.register(beat, name="first_beat"))]
        running = Signal(shape, name="running_sum")
        m.d.comb += total.payload.eq(running + own)
        with m.If(split_row(m, beats, buffer, total)):
            m.d.sync += running.eq(Mux(beats.payload.last, 0, total.payload))

    def _mean(self, m: Module, total: Any, sink: Any) -> None:
        multiplier, _ = self.spec.mean_requant
        pipe = pipeline(m, total.valid, sink, stages=MEAN_STAGES, name="mean")
        product = Signal(signed(self.spec.sum_width + MULTIPLIER_BITS), name="mean_product")
        mean = Signal(signed(DEVIATION_WIDTH), name="mean_next")
        m.d.comb += [total.ready.eq(pipe.advance), product.eq(total.payload * multiplier)]
        m.d.comb += mean.eq(self.spec.rounded_mean(pipe.register(product, name="mean_scaled")))
        m.d.comb += sink.payload.eq(pipe.register(mean, name="mean"))

    def _deviations(self, m: Module, source: Any, buffer: RowBuffer, squares: Any) -> None:
        """Second pass: every deviation from the mean, and the sum of their squares."""
        beats = stream.Signature(buffer.beats.payload.shape()).create(path=("second",))
        pipe = pipeline(m, source.valid, beats, stages=DEVIATION_STAGES, name="second")
        beat = source.payload.beat
        deviations, products = [], []
        for lane in range(self.lanes):
            deviation = Signal(signed(DEVIATION_WIDTH), name=f"lane_{lane}_deviation_next")
            m.d.comb += deviation.eq(Mux(beat.keep[lane], beat.data[lane] - source.payload.result, 0))
            deviation = pipe.register(deviation, name=f"lane_{lane}_deviation")
            square = Signal(2 * DEVIATION_WIDTH, name=f"lane_{lane}_square_next")
            m.d.comb += square.eq(deviation * deviation)
            products.append(pipe.register(square, name=f"lane_{lane}_square"))
            deviations.append(pipe.register(deviation, name=f"lane_{lane}_deviation_kept", cycles=2))
        shape = unsigned(self.spec.square_width)
        own = pipe.register(tree(m, products, plus, shape, name="beat_squares"), name="beat_squares_held")
        m.d.comb += [
            source.ready.eq(pipe.advance),
            beats.payload.data.eq(Cat(*deviations)),
            beats.payload.keep.eq(pipe.register(beat.keep, name="second_keep", cycles=DEVIATION_STAGES)),
            beats.payload.last.eq(pipe.register(beat.last, name="second_last", cycles=DEVIATION_STAGES)),
        ]
        running = Signal(shape, init=self.spec.epsilon, name="running_squares")
        m.d.comb += squares.payload.eq(running + own)
        with m.If(split_row(m, beats, buffer, squares)):
            m.d.sync += running.eq(Mux(beats.payload.last, self.spec.epsilon, squares.payload))

    def _root(self, m: Module, squares: Any, sink: Any) -> None:
        """What divides a row: the reciprocal root of its squares' mantissa, and half the exponent."""
        spec = self.spec
        pipe = pipeline(m, squares.valid, sink, stages=ROOT_STAGES, name="root")
        m.d.comb += squares.ready.eq(pipe.advance)
        half = Signal(range((spec.square_width + 1) // 2), name="squares_half")
        m.d.comb += half.eq(leading_one(squares.payload, spec.square_width, Mux) >> 1)
        half = pipe.register(half, name="squares_half_held")
        mantissa = Signal(signed(spec.root.input_width), name="squares_mantissa")
        m.d.comb += mantissa.eq(spec.mantissa(pipe.register(squares.payload, name="squares_held"), half))
        mantissa = pipe.register(mantissa, name="squares_mantissa_held")
        m.d.comb += [
            sink.payload.root.eq(pwl_result(pipe, mantissa, spec.root, name="root")),
            sink.payload.half.eq(pipe.register(half, name="root_half", cycles=ROOT_STAGES - 1)),
        ]

    def _outputs(self, m: Module, source: Any) -> None:
        """Third pass: every deviation times the row's reciprocal root, then its channel's gain and bias."""
        spec, beat, divisor = self.spec, source.payload.beat, source.payload.result
        pipe = pipeline(m, source.valid, self.o, stages=OUTPUT_STAGES, name="third")
        m.d.comb += source.ready.eq(pipe.advance)
        channels = pipe.register(self._channels(m, source.valid & pipe.advance, beat.last), name="channels")
        half = pipe.register(divisor.half, name="third_half")
        for lane in range(self.lanes):
            product = Signal(signed(DEVIATION_WIDTH + spec.root.result_width), name=f"lane_{lane}_product")
            m.d.comb += product.eq(beat.data[lane] * divisor.root)
            product = pipe.register(product, name=f"lane_{lane}_scaled")
            unit = Signal(signed(UNIT_FRACTION + 1), name=f"lane_{lane}_unit_next")
            m.d.comb += unit.eq(spec.rounded_unit(product, half, Mux))
            unit = pipe.register(unit, name=f"lane_{lane}_unit")
            channel = channels[lane]
            width = max(UNIT_FRACTION + 1 + MULTIPLIER_BITS, channel.bias.shape().width) + 1
            total = Signal(signed(width), name=f"lane_{lane}_total_next")
            m.d.comb += total.eq(unit * channel.gain + channel.bias)
            total = pipe.register(total, name=f"lane_{lane}_total")
            code = Signal(self.o.payload.data[lane].shape(), name=f"lane_{lane}_code")
            m.d.comb += code.eq(spec.rounded_output(total, Mux))
            m.d.comb += self.o.payload.data[lane].eq(pipe.register(code, name=f"lane_{lane}_output"))
        m.d.comb += [
            self.o.payload.keep.eq(pipe.register(beat.keep, name="third_keep", cycles=OUTPUT_STAGES)),
            self.o.payload.last.eq(pipe.register(beat.last, name="third_last", cycles=OUTPUT_STAGES)),
        ]

    def _channels(self, m: Module, moving: Any, last: Any) -> Any:
        """Gains and biases of a beat's lanes, one cycle after it."""
        spec = self.spec
        bias_width = signed_width(int(spec.bias.min()), int(spec.bias.max()))
        layout = data.StructLayout({"gain": signed(MULTIPLIER_BITS), "bias": signed(bias_width)})
        pairs = zip(spec.gain.tolist(), spec.bias.tolist(), strict=True)
        constants = [{"gain": gain, "bias": bias} for gain, bias in pairs]
        return channel_constants(m, constants, layout, self.lanes, moving=moving, last=last)
