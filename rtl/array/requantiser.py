"""Requantisation of one accumulator column: ``spec.fixed.requantise`` of signs and magnitudes."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib.wiring import Component, In, Out

from ..parts.place import Library
from ..spec.fixed import MULTIPLIER_BITS, SHIFT_BITS, round_shift, saturate

MOST = 256
"""Magnitudes from here on saturate with every zero point, so no more of them is kept."""


class Requantiser(Component):
    """``result`` = ``requantise(accumulator, multiplier, shift, zero, low, high)``, one enabled cycle later.

    Members: ``accumulator`` In, signed ``width`` bits; ``multiplier`` In, 16 bits; ``enable`` In takes
    both; ``shift`` In, 1 to 63, ``zero``, ``low``, ``high`` In, int8, are read in the cycle of
    ``result`` Out, int8, which is combinational behind the product register.

    Sums lie about zero, so the high bits of two's complement would toggle through multiplier and shifter. For negative
    sums x, with y = ~x = -x - 1 and a multiplier m >= 1, half up of ``x m / 2^s`` is ``-floor((y m + m - 1 + 2^(s - 1))
    / 2^s)``: the magnitude rounded half down.
    """

    clocked = True

    def __init__(self, width: int, library: Library | None = None) -> None:
        self.width = width
        self.module_name = f"requantiser_a{width}"
        super().__init__({
            "accumulator": In(signed(width)), "multiplier": In(MULTIPLIER_BITS), "enable": In(1),
            "shift": In(SHIFT_BITS), "zero": In(signed(8)), "low": In(signed(8)), "high": In(signed(8)),
            "result": Out(signed(8)),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        """Multiply, register, then round, shift and saturate."""
        m = Module()
        negative = self.accumulator[-1]
        magnitude = Signal(self.width - 1)
        less_one = Signal(MULTIPLIER_BITS)
        product = Signal(self.width - 1 + MULTIPLIER_BITS)
        below = Signal()
        m.d.comb += [
            magnitude.eq(self.accumulator ^ negative.replicate(self.width)),
            less_one.eq(Mux(self.multiplier == 0, 0, self.multiplier - 1)),
        ]
        with m.If(self.enable):
            m.d.sync += [
                product.eq(magnitude * self.multiplier + (less_one & negative.replicate(MULTIPLIER_BITS))),
                below.eq(negative),
            ]
        rounded = Signal(len(product) + 1)
        limited = Signal(range(MOST + 1))
        scaled = Signal(signed(11))
        m.d.comb += [
            rounded.eq(round_shift(product, self.shift)),
            limited.eq(Mux(rounded >= MOST, MOST, rounded)),
            scaled.eq(Mux(below, -limited, limited) + self.zero),
            self.result.eq(saturate(scaled, self.low, self.high, Mux)),
        ]
        return m
