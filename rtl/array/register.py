"""A register between two tiles, or before the first."""

from amaranth.hdl import Module
from amaranth.lib.wiring import Component, In, Out

from ..parts.place import Library


class Register(Component):
    """``q`` Out takes ``d`` In where ``advance`` In and ``valid`` In; it has no reset."""

    clocked = True

    def __init__(self, width: int, library: Library | None = None) -> None:
        self.module_name = f"register_w{width}"
        super().__init__({"d": In(width), "advance": In(1), "valid": In(1), "q": Out(width)})

    def elaborate(self, platform: object) -> Module:
        """One register."""
        m = Module()
        with m.If(self.advance & self.valid):
            m.d.sync += self.q.eq(self.d)
        return m
