"""The piecewise linear unit in IEEE 754 arithmetic: what the integer unit is measured against."""

from typing import Any

from amaranth.hdl import Mux, Signal, signed, unsigned

from slipstick.rtl.parts.pipeline import Pipeline
from slipstick.rtl.spec.pwl import segment
from tests.bench.pwl_units.float_arithmetic import FloatFormat, add, multiply, sort_key
from tests.bench.pwl_units.programmable import ProgrammableUnit

STAGES = 3


class FloatPwlUnit(ProgrammableUnit):
    """x becomes ``slope * x + intercept`` of its segment, rounded twice: bit patterns in and out.

    The members are those of ``ProgrammableUnit``; a ``breakpoint`` is loaded as its sort key, so that
    comparing is comparing integers and the rival pays no conversion. Results come ``STAGES`` cycles later.
    """

    def __init__(self, entries: int, form: FloatFormat, *, lanes: int = 1) -> None:
        self.form = form
        self.module_name = f"pwl_float{form.width}_n{entries}_p{lanes}"
        pattern = unsigned(form.width)
        coefficients = {"breakpoint": signed(form.width), "slope": pattern, "intercept": pattern}
        super().__init__(entries, lanes, pattern, pattern, {**coefficients}, {}, STAGES)

    def datapath(self, pipe: Pipeline, element: Any, table: dict[str, list[Signal]], lane: int, **settings: Any) -> Any:
        """Compare and select, multiply, add."""
        m, name = pipe.m, f"lane_{lane}"
        key = Signal(signed(self.form.width), name=f"{name}_key")
        m.d.comb += key.eq(sort_key(element, self.form))
        slope, intercept = segment(key, table["breakpoint"], table["slope"], table["intercept"], Mux)
        slope, intercept = pipe.register(slope, name=f"{name}_slope"), pipe.register(intercept, name=f"{name}_shift")
        x = pipe.register(element, name=f"{name}_element")
        product = pipe.register(multiply(m, slope, x, self.form, name=f"{name}_product"), name=f"{name}_scaled")
        intercept = pipe.register(intercept, name=f"{name}_intercept")
        return pipe.register(add(m, product, intercept, self.form, name=f"{name}_sum"), name=f"{name}_output")
