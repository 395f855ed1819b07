"""Piecewise linear unit for integers of any width with its table in registers: the truth is ``spec.pwl``."""

from typing import Any

from amaranth.hdl import Mux, ShapeLike, Signal, signed

from slipstick.rtl.parts.pipeline import Pipeline
from slipstick.rtl.spec.fixed import MULTIPLIER_BITS, SHIFT_BITS
from slipstick.rtl.spec.pwl import PwlFormat, line, segment
from slipstick.rtl.spec.widths import signed_range
from slipstick.rtl.vector.pwl import rounded
from tests.bench.pwl_units.programmable import ProgrammableUnit

FRACTION_BITS = 3  # of the input: scales 2^0 to 2^-7


class ProgrammablePwlUnit(ProgrammableUnit):
    """Codes q of ``input_width`` bits become ``requantise(table(q), multiplier, shift)`` in ``output_width`` bits.

    A whole number for ``input_fraction`` or ``shift`` is wired; None loads it with the table. ``scaled``
    adds the multiplier and its register; without it a result is shifted only. Results come 3 cycles
    after their codes, 4 if scaled.
    """

    def __init__(
        self, entries: int, form: PwlFormat, *, input_width: int = 8, output_width: int = 8,
        input_fraction: int | None = None, shift: int | None = None, scaled: bool = False, lanes: int = 1,
    ) -> None:  # fmt: skip
        self.form, self.input_width, self.output_width = form, input_width, output_width
        self._wired = {"input_fraction": input_fraction, "shift": shift}
        self.module_name = f"pwl_programmable_i{input_width}_n{entries}_p{lanes}"
        largest = (1 << FRACTION_BITS) - 1 if input_fraction is None else input_fraction
        self.result_width = max(form.slope_width + input_width, form.intercept_width + largest) + 1
        shift_bits = SHIFT_BITS if scaled else self.result_width.bit_length() - 1
        settings: dict[str, ShapeLike] = {"input_fraction": FRACTION_BITS, "shift": shift_bits}
        settings = {name: shape for name, shape in settings.items() if self._wired[name] is None}
        if scaled:
            settings["multiplier"] = MULTIPLIER_BITS
        coefficients: dict[str, ShapeLike] = {
            "breakpoint": signed(input_width),
            "slope": signed(form.slope_width),
            "intercept": signed(form.intercept_width),
        }
        super().__init__(
            entries, lanes, signed(input_width), signed(output_width), coefficients, settings, 4 if scaled else 3
        )

    def datapath(self, pipe: Pipeline, element: Any, table: dict[str, list[Signal]], lane: int, **settings: Any) -> Any:
        """Compare and select, multiply and add, times the multiplier if there is one, round and saturate."""
        wired: dict[str, Any] = {name: value for name, value in self._wired.items() if value is not None}
        settings |= wired
        slope, intercept = segment(element, table["breakpoint"], table["slope"], table["intercept"], Mux)
        slope = pipe.register(slope, name=f"lane_{lane}_slope")
        intercept = pipe.register(intercept, name=f"lane_{lane}_intercept")
        code = pipe.register(element, name=f"lane_{lane}_code")
        result = Signal(signed(self.result_width), name=f"lane_{lane}_line")
        pipe.m.d.comb += result.eq(line(code, slope, intercept, settings["input_fraction"]))
        result = pipe.register(result, name=f"lane_{lane}_result")
        if "multiplier" in settings:
            product = Signal(signed(self.result_width + MULTIPLIER_BITS), name=f"lane_{lane}_product")
            pipe.m.d.comb += product.eq(result * settings["multiplier"])
            result = pipe.register(product, name=f"lane_{lane}_scaled")
        limits = signed_range(self.output_width)
        code = rounded(pipe.m, result, settings["shift"], *limits, name=f"lane_{lane}")
        return pipe.register(code, name=f"lane_{lane}_output")
