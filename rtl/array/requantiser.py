"""Requantisation of one accumulator column: ``spec.fixed.requantise`` with a register in its middle."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib.wiring import Component, In, Out

from ..parts.place import Library
from ..spec.fixed import MULTIPLIER_BITS, SHIFT_BITS, round_shift, saturate


class Requantiser(Component):
    """``result`` = ``requantise(accumulator, multiplier, shift, zero, low, high)``, one enabled cycle later.

    Members: ``accumulator`` In, signed ``width`` bits; ``multiplier`` In, 16 bits; ``enable`` In takes
    both; ``shift`` In, 1 to 63, ``zero``, ``low``, ``high`` In, int8, are read in the cycle of
    ``result`` Out, int8, which is combinational behind the product register.
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
        product = Signal(signed(self.width + MULTIPLIER_BITS))
        with m.If(self.enable):
            m.d.sync += product.eq(self.accumulator * self.multiplier)
        scaled = Signal(signed(self.width + MULTIPLIER_BITS + 1))
        m.d.comb += [
            scaled.eq(round_shift(product, self.shift) + self.zero),
            self.result.eq(saturate(scaled, self.low, self.high, Mux)),
        ]
        return m
