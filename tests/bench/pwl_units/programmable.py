"""A piecewise linear unit whose table stands in registers: what all kinds of numbers share."""

from abc import abstractmethod
from typing import Any

from amaranth.hdl import Module, Shape, ShapeLike, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

from slipstick.errors import UserError
from slipstick.rtl.parts.pipeline import Pipeline, pipeline


class ProgrammableUnit(Component):
    """A stream of elements through one of ``entries`` lines; a table enters as beats of the same stream.

    Members: ``i`` In, ``o`` Out, streams of ``lanes`` elements; a beat with ``load`` In carries an entry
    instead: ``breakpoint`` In, where the segment begins (the first segment's is not kept), ``slope`` In,
    ``intercept`` In, and what ``settings`` names. A table is loaded by ``entries`` such beats, segments in
    ascending order, each taken when no element is under way. Raises UserError for less than 2 entries.
    """

    clocked = resettable = True

    def __init__(
        self, entries: int, lanes: int, element: ShapeLike, result: ShapeLike, coefficients: dict[str, ShapeLike],
        settings: dict[str, ShapeLike], stages: int,
    ) -> None:  # fmt: skip
        if entries < 2 or lanes < 1:
            raise UserError(f"a programmable PWL unit has 2 entries and 1 lane or more, not {entries} and {lanes}")
        self.entries, self.lanes, self.coefficients, self.settings = entries, lanes, coefficients, settings
        self.stages = stages
        super().__init__({
            "i": In(stream.Signature(data.ArrayLayout(element, lanes))),
            "o": Out(stream.Signature(data.ArrayLayout(result, lanes))),
            "load": In(1), **{name: In(shape) for name, shape in (coefficients | settings).items()},
        })  # fmt: skip

    @abstractmethod
    def datapath(self, pipe: Pipeline, element: Any, table: dict[str, list[Signal]], lane: int, **settings: Any) -> Any:
        """The result of one element, behind ``stages`` registers of ``pipe``."""

    def elaborate(self, platform: object) -> Module:
        """The registers of the table, and every lane alike."""
        m = Module()
        pipe = pipeline(m, self.i.valid & ~self.load, self.o, stages=self.stages)
        take = Signal()
        m.d.comb += [
            self.i.ready.eq(pipe.advance & ~(self.load & pipe.valid.any())),
            take.eq(self.i.valid & self.i.ready & self.load),
        ]
        table: dict[str, list[Signal]] = {}
        for name, shape in self.coefficients.items():
            first = 1 if name == "breakpoint" else 0
            table[name] = [_held(shape, f"{name}_{entry}") for entry in range(first, self.entries)]
            with m.If(take):
                following = [*table[name][1:], getattr(self, name)]
                m.d.sync += [own.eq(next_) for own, next_ in zip(table[name], following, strict=True)]
        settings = {name: _held(shape, f"own_{name}") for name, shape in self.settings.items()}
        with m.If(take):
            m.d.sync += [own.eq(getattr(self, name)) for name, own in settings.items()]
        for lane in range(self.lanes):
            result = self.datapath(pipe, self.i.payload[lane], table, lane, **settings)
            m.d.comb += self.o.payload[lane].eq(result)
        return m


def _held(shape: ShapeLike, name: str) -> Signal:
    return Signal(Shape.cast(shape), name=name, reset_less=True)
