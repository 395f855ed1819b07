"""Piecewise linear function of a stream of codes: ``spec.pwl`` and ``spec.fixed`` with registers between.

::

    code -> compare, select | multiply, add | times multiplier | round, shift, saturate -> code
"""

from typing import Any

import numpy as np
from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

from slipstick.errors import UserError

from ..parts.pipeline import Pipeline, pipeline
from ..spec.fixed import MAX_SHIFT, MULTIPLIER_BITS, Requant, round_shift, saturate
from ..spec.pwl import PwlTable, line, segment
from ..spec.widths import signed_width

STAGES = 4


class PwlUnit(Component):
    """Codes q become ``requantise(table(q), multiplier, shift, 0, low, high)``; all of it is constant.

    Members: ``i`` In, a stream of ``lanes`` codes of ``table.input_width`` bits; ``o`` Out, a stream of
    ``lanes`` codes of as many bits as ``low`` to ``high`` need. One element a lane a cycle, ``STAGES``
    cycles later. Raises UserError for a multiplier, shift or limits out of range.
    """

    clocked = resettable = True

    def __init__(
        self, table: PwlTable, multiplier: int, shift: int, low: int = -128, high: int = 127, lanes: int = 1
    ) -> None:
        if not 0 <= multiplier < 1 << MULTIPLIER_BITS or not 1 <= shift <= MAX_SHIFT or not low < high or lanes < 1:
            raise UserError(
                f"PWL unit of {table.function!r}: multiplier {multiplier}, shift {shift}, "
                f"limits {low} to {high}, {lanes} lanes"
            )
        self.table, self.multiplier, self.shift, self.low, self.high = table, multiplier, shift, low, high
        self.lanes = lanes
        self.module_name = f"pwl_{table.function}_d{table.input_fraction}_n{table.entries}_p{lanes}"
        super().__init__({
            "i": In(stream.Signature(data.ArrayLayout(signed(table.input_width), lanes))),
            "o": Out(stream.Signature(data.ArrayLayout(signed(signed_width(low, high)), lanes))),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        """Every lane alike behind one handshake."""
        m = Module()
        pipe = pipeline(m, self.i.valid, self.o, stages=STAGES)
        m.d.comb += self.i.ready.eq(pipe.advance)
        after = Requant(np.array([self.multiplier]), np.array([self.shift]), 0, self.low, self.high)
        for lane in range(self.lanes):
            code = activated(pipe, self.i.payload[lane], self.table, after, name=f"lane_{lane}")
            m.d.comb += self.o.payload[lane].eq(code)
        return m


def activated(pipe: Pipeline, code: Any, table: PwlTable, after: Requant, *, name: str) -> Any:
    """``STAGES`` registers of ``pipe``: ``after(table(code))``."""
    result = pwl_result(pipe, code, table, name=name)
    product = Signal(signed(table.result_width + MULTIPLIER_BITS), name=f"{name}_scaled_next")
    pipe.m.d.comb += product.eq(result * int(after.multiplier[0]))
    product = pipe.register(product, name=f"{name}_scaled")
    output = rounded(pipe.m, product, int(after.shift[0]), after.low, after.high, name=name)
    return pipe.register(output, name=f"{name}_output")


def rounded(m: Module, value: Any, shift: Any, low: int, high: int, *, name: str) -> Signal:
    """``saturate(round_shift(value, shift), low, high)`` of a signal, in the bits of the limits."""
    quotient = Signal(signed(len(value) + 1), name=f"{name}_rounded")
    code = Signal(signed(signed_width(low, high)), name=f"{name}_saturated")
    m.d.comb += [quotient.eq(round_shift(value, shift)), code.eq(saturate(quotient, low, high, Mux))]
    return code


def pwl_result(pipe: Pipeline, code: Any, table: PwlTable, *, name: str) -> Any:
    """Two registers of ``pipe``: ``table(code)`` in ``table.result_width`` bits."""
    slope, intercept = segment(code, table.breakpoints, table.slopes, table.intercepts, Mux)
    slope_signal = Signal(signed(signed_width(min(table.slopes), max(table.slopes))), name=f"{name}_segment_slope")
    intercept_signal = Signal(
        signed(signed_width(min(table.intercepts), max(table.intercepts))), name=f"{name}_segment_intercept"
    )
    pipe.m.d.comb += [slope_signal.eq(slope), intercept_signal.eq(intercept)]
    slope = pipe.register(slope_signal, name=f"{name}_slope")
    intercept = pipe.register(intercept_signal, name=f"{name}_intercept")
    code = pipe.register(code, name=f"{name}_code")
    result = Signal(signed(table.result_width), name=f"{name}_line")
    pipe.m.d.comb += result.eq(line(code, slope, intercept, table.input_fraction))
    return pipe.register(result, name=f"{name}_result")
