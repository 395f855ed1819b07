"""Residual addition of a stream: ``spec.residual`` with registers between."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

from slipstick.errors import UserError

from ..parts.pipeline import pipeline
from ..parts.row_buffer import row_beat
from ..spec import residual
from ..spec.fixed import MULTIPLIER_BITS, SHIFT_BITS
from ..spec.residual import ResidualSpec
from .channels import channel_constants

CODE_WIDTH = 16
STAGES = 4


class ResidualUnit(Component):
    """Codes x and accumulators become ``spec(x, accumulators)``, one beat a cycle.

    Members: ``i`` In, a stream of ``lanes`` int16 codes ``data`` and accumulators ``accumulators`` of
    ``width`` bits, with ``keep`` and ``last`` as in ``row_beat``; ``o`` Out, a stream of ``row_beat`` of
    int16 codes. With constants for N channels every row has N elements. Raises UserError without lanes.
    """

    clocked = resettable = True

    def __init__(self, spec: ResidualSpec, lanes: int = 1, width: int = 32) -> None:
        if lanes < 1:
            raise UserError(f"a residual unit has at least one lane, not {lanes}")
        self.spec, self.lanes, self.width = spec, lanes, width
        self.module_name = f"residual_n{spec.channels}_p{lanes}"
        codes, accumulators = (data.ArrayLayout(signed(bits), lanes) for bits in (CODE_WIDTH, width))
        beat = data.StructLayout({"data": codes, "accumulators": accumulators, "keep": lanes, "last": 1})
        super().__init__({
            "i": In(stream.Signature(beat)),
            "o": Out(stream.Signature(row_beat(signed(CODE_WIDTH), lanes))),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        """Read the channel's constants, multiply, round and limit, add and limit."""
        m = Module()
        pipe = pipeline(m, self.i.valid, self.o, stages=STAGES)
        m.d.comb += self.i.ready.eq(pipe.advance)
        layout = data.StructLayout({"multiplier": MULTIPLIER_BITS, "shift": SHIFT_BITS})
        pairs = zip(self.spec.multiplier.tolist(), self.spec.shift.tolist(), strict=True)
        constants = [{"multiplier": multiplier, "shift": shift} for multiplier, shift in pairs]
        beat = self.i.payload
        moving = self.i.valid & pipe.advance
        channels = channel_constants(m, constants, layout, self.lanes, moving=moving, last=beat.last)
        for lane in range(self.lanes):
            accumulator = pipe.register(beat.accumulators[lane], name=f"lane_{lane}_accumulator")
            product = Signal(signed(self.width + MULTIPLIER_BITS), name=f"lane_{lane}_product")
            m.d.comb += product.eq(accumulator * channels[lane].multiplier)
            product = pipe.register(product, name=f"lane_{lane}_scaled")
            shift = pipe.register(channels[lane].shift, name=f"lane_{lane}_shift")
            step = Signal(signed(CODE_WIDTH), name=f"lane_{lane}_step_next")
            m.d.comb += step.eq(residual.step(product, shift, Mux))
            step = pipe.register(step, name=f"lane_{lane}_step")
            x = pipe.register(beat.data[lane], name=f"lane_{lane}_x", cycles=STAGES - 1)
            total = Signal(signed(CODE_WIDTH), name=f"lane_{lane}_total")
            m.d.comb += total.eq(residual.total(x, step, Mux))
            m.d.comb += self.o.payload.data[lane].eq(pipe.register(total, name=f"lane_{lane}_output"))
        m.d.comb += [
            self.o.payload.keep.eq(pipe.register(beat.keep, name="keep", cycles=STAGES)),
            self.o.payload.last.eq(pipe.register(beat.last, name="last", cycles=STAGES)),
        ]
        return m
