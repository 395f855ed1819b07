"""Registers in a row between two streams: all stop together while the last result is not taken."""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Module, Signal, ValueLike


@dataclass(frozen=True)
class Pipeline:
    """``advance`` moves every register one step; bit k of ``valid`` says that register k + 1 holds something."""

    m: Module
    advance: Signal
    valid: Signal

    def register(self, value: ValueLike, *, name: str, cycles: int = 1) -> Any:
        """``value`` behind ``cycles`` registers of the pipeline, without reset."""
        for cycle in range(cycles):
            step = Signal.like(value, name=name if cycles == 1 else f"{name}_{cycle + 1}", reset_less=True)
            with self.m.If(self.advance):
                self.m.d.sync += step.eq(value)
            value = step
        return value


def pipeline(m: Module, offered: ValueLike, sink: Any, *, stages: int, name: str = "") -> Pipeline:
    """A pipeline of ``stages`` registers that takes what is ``offered`` and drives ``sink.valid``.

    The caller drives ``sink.payload`` from the last register. One element a cycle; a full pipeline waits
    for ``sink.ready`` and bubbles stay bubbles.
    """
    prefix = f"{name}_" if name else ""
    advance = Signal(name=f"{prefix}advance")
    valid = Signal(stages, name=f"{prefix}valid")
    m.d.comb += [advance.eq(~valid[-1] | sink.ready), sink.valid.eq(valid[-1])]
    with m.If(advance):
        m.d.sync += valid.eq(Cat(offered, valid[:-1]))
    return Pipeline(m, advance, valid)
