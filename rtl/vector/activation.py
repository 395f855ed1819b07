"""Activation function of rows of accumulators: ``spec.activation`` with registers between.

::

    accumulator -> times its channel's multiplier | round, shift, saturate -> code
    code -> compare, select | multiply, add | times multiplier | round, shift, saturate -> output
"""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

from slipstick.errors import UserError

from ..parts.pipeline import pipeline
from ..parts.row_buffer import row_beat
from ..spec.activation import ActivationSpec
from ..spec.fixed import MULTIPLIER_BITS, SHIFT_BITS
from ..spec.widths import signed_width
from .channels import channel_constants
from .pwl import STAGES as TABLE_STAGES
from .pwl import activated, rounded

CODE_STAGES = 3
STAGES = CODE_STAGES + TABLE_STAGES


class ActivationUnit(Component):
    """Rows of accumulators become ``spec(row)``, one beat a cycle, ``STAGES`` cycles later.

    Members: ``i`` In, a stream of ``row_beat`` with ``lanes`` accumulators of ``width`` bits; ``o`` Out, a stream of
    ``row_beat`` with as many output codes. With constants for N channels every row has N elements. Raises UserError
    without lanes.
    """

    clocked = resettable = True

    def __init__(self, spec: ActivationSpec, lanes: int = 1, width: int = 32) -> None:
        if lanes < 1:
            raise UserError(f"an activation unit has at least one lane, not {lanes}")
        self.spec, self.lanes, self.width = spec, lanes, width
        self.module_name = f"activation_{spec.table.function}_n{spec.channels}_p{lanes}"
        super().__init__({
            "i": In(stream.Signature(row_beat(signed(width), lanes))),
            "o": Out(stream.Signature(row_beat(signed(signed_width(spec.after.low, spec.after.high)), lanes))),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        """Every lane alike behind one handshake."""
        m = Module()
        spec, table, beat = self.spec, self.spec.table, self.i.payload
        pipe = pipeline(m, self.i.valid, self.o, stages=STAGES)
        m.d.comb += self.i.ready.eq(pipe.advance)
        layout = data.StructLayout({"multiplier": MULTIPLIER_BITS, "shift": SHIFT_BITS})
        pairs = zip(spec.before.multiplier.tolist(), spec.before.shift.tolist(), strict=True)
        constants = [{"multiplier": multiplier, "shift": shift} for multiplier, shift in pairs]
        moving = self.i.valid & pipe.advance
        channels = channel_constants(m, constants, layout, self.lanes, moving=moving, last=beat.last)
        for lane in range(self.lanes):
            name = f"lane_{lane}"
            accumulator = pipe.register(beat.data[lane], name=f"{name}_accumulator")
            product = Signal(signed(self.width + MULTIPLIER_BITS), name=f"{name}_product_next")
            m.d.comb += product.eq(accumulator * channels[lane].multiplier)
            product = pipe.register(product, name=f"{name}_product")
            shift = pipe.register(channels[lane].shift, name=f"{name}_shift")
            code = pipe.register(rounded(m, product, shift, *table.input_range, name=f"{name}_input"), name=f"{name}_q")
            found = activated(pipe, code, table, spec.after, name=name)
            m.d.comb += self.o.payload.data[lane].eq(found)
        m.d.comb += [
            self.o.payload.keep.eq(pipe.register(beat.keep, name="keep", cycles=STAGES)),
            self.o.payload.last.eq(pipe.register(beat.last, name="last", cycles=STAGES)),
        ]
        return m
