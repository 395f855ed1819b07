"""Reduction of several lanes in a balanced tree of named signals."""

from collections.abc import Callable
from typing import Any

from amaranth.hdl import Module, Mux, ShapeLike, Signal


def tree(m: Module, values: list, combine: Callable[[Any, Any], Any], shape: ShapeLike, *, name: str) -> Signal:
    """``values`` combined two by two, every step a signal of ``shape``."""
    count = 0
    while len(values) > 1:
        combined = []
        for left, right in zip(values[::2], values[1::2], strict=False):
            step = Signal(shape, name=f"{name}_{count}")
            m.d.comb += step.eq(combine(left, right))
            combined.append(step)
            count += 1
        values = combined + values[2 * len(combined) :]
    whole = Signal(shape, name=name)
    m.d.comb += whole.eq(values[0])
    return whole


def larger(left: Any, right: Any) -> Any:
    """The larger of two values."""
    return Mux(left > right, left, right)


def plus(left: Any, right: Any) -> Any:
    """The sum of two values."""
    return left + right
