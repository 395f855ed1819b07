"""The vector unit: activation, softmax, LayerNorm and residual addition behind one stream of rows.

::

    i --+--> activation --+--> o
        +--> softmax -----+
        +--> LayerNorm ---+     rows leave in the order in which they came
        +--> residual ----+
"""

from enum import IntEnum
from typing import Any

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, stream
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import Component, In, Out

from slipstick.errors import UserError

from ..parts.row_buffer import row_beat
from .activation import ActivationUnit
from .layernorm import LayerNormUnit
from .residual import CODE_WIDTH, ResidualUnit
from .softmax import SoftmaxUnit

ROWS_UNDER_WAY = 16


class Operation(IntEnum):
    """What a row asks for."""

    ACTIVATION = 0
    SOFTMAX = 1
    LAYERNORM = 2
    RESIDUAL = 3


OPERATION_BITS = 2


class VectorUnit(Component):
    """Every row goes through the unit that its ``operation`` names; one beat a cycle, rows stay in order.

    Members: ``i`` In, a stream of ``operation``, the same in all beats of a row, ``data``, int16 codes,
    ``accumulators`` of 32 bits, ``keep`` and ``last`` as in ``row_beat``; ``o`` Out, a stream of
    ``row_beat`` of int16 codes. Activation and softmax take the accumulators, LayerNorm ``data``, the residual
    both. All units have the same lanes.
    """

    clocked = resettable = True

    def __init__(
        self, activation: ActivationUnit, softmax: SoftmaxUnit, layernorm: LayerNormUnit, residual: ResidualUnit
    ) -> None:
        self.activation, self.softmax, self.layernorm, self.residual = activation, softmax, layernorm, residual
        lanes = {unit.lanes for unit in (activation, softmax, layernorm, residual)}
        if len(lanes) != 1 or len({unit.width for unit in (activation, softmax, residual)}) != 1:
            raise UserError(f"a vector unit's parts have one number of lanes, not {sorted(lanes)}, and one accumulator")
        (self.lanes,) = lanes
        self.module_name = f"vector_unit_p{self.lanes}"
        beat = data.StructLayout({
            "operation": OPERATION_BITS,
            "data": data.ArrayLayout(signed(CODE_WIDTH), self.lanes),
            "accumulators": data.ArrayLayout(signed(softmax.width), self.lanes),
            "keep": self.lanes, "last": 1,
        })  # fmt: skip
        super().__init__({
            "i": In(stream.Signature(beat)),
            "o": Out(stream.Signature(row_beat(signed(CODE_WIDTH), self.lanes))),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        """Send every beat to its row's unit, and take the answers in the order of the rows."""
        m = Module()
        m.submodules.activation, m.submodules.softmax = self.activation, self.softmax
        m.submodules.layernorm, m.submodules.residual = self.layernorm, self.residual
        ways: dict[Operation, tuple[Any, Any]] = {
            Operation.ACTIVATION: (self.activation.i, self.activation.o),
            Operation.SOFTMAX: (self.softmax.i, self.softmax.o),
            Operation.LAYERNORM: (self.layernorm.i, self.layernorm.o),
            Operation.RESIDUAL: (self.residual.i, self.residual.o),
        }
        m.submodules.order = order = SyncFIFOBuffered(width=OPERATION_BITS, depth=ROWS_UNDER_WAY)
        beat = self.i.payload
        first = Signal(init=1)  # a row starts with the next beat
        free = Signal()
        m.d.comb += [
            free.eq(~first | order.w_rdy),
            order.w_data.eq(beat.operation),
            order.w_en.eq(self.i.valid & self.i.ready & first),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += first.eq(beat.last)
        for operation, (entry, leaving) in ways.items():
            with m.If(beat.operation == operation):
                m.d.comb += [entry.valid.eq(self.i.valid & free), self.i.ready.eq(entry.ready & free)]
            with m.If(order.r_rdy & (order.r_data == operation)):
                m.d.comb += [
                    self.o.valid.eq(leaving.valid),
                    leaving.ready.eq(self.o.ready),
                    self.o.payload.keep.eq(leaving.payload.keep),
                    self.o.payload.last.eq(leaving.payload.last),
                    *(self.o.payload.data[lane].eq(leaving.payload.data[lane]) for lane in range(self.lanes)),
                ]
        m.d.comb += order.r_en.eq(self.o.valid & self.o.ready & self.o.payload.last)
        fields = (
            (self.activation.i, "accumulators"), (self.softmax.i, "accumulators"),
            (self.layernorm.i, "data"), (self.residual.i, "data"),
        )  # fmt: skip
        for entry, field in fields:
            m.d.comb += [
                entry.payload.data.eq(beat[field]), entry.payload.keep.eq(beat.keep), entry.payload.last.eq(beat.last),
            ]  # fmt: skip
        m.d.comb += self.residual.i.payload.accumulators.eq(beat.accumulators)
        return m
