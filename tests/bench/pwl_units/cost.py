"""Area, delay and energy of one piecewise linear unit in int8, int32 and floating point, its table in registers.

All units share ``programmable``: the same handshake, the same way to load a table, three pipeline
stages, one element a cycle. The wide integer unit is spared the shifters that the int8 one has, and the
floating-point one any conversion: the comparison rather favours the rivals.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from slipstick.flow.library.liberty import Liberty
from slipstick.flow.power.activity import Activity, simulate
from slipstick.flow.power.delays import Delays
from slipstick.flow.power.glitches import with_glitches
from slipstick.flow.power.power import power_model
from slipstick.flow.power.synth import Synthesis, synthesise
from slipstick.rtl.spec.fixed import MULTIPLIER_BITS
from slipstick.rtl.spec.pwl import PwlFormat
from slipstick.rtl.spec.widths import signed_range
from slipstick.rtl.verilog.emit import to_verilog
from tests.bench.pwl_units.float_arithmetic import BFLOAT16, SINGLE, FloatFormat
from tests.bench.pwl_units.float_unit import FloatPwlUnit
from tests.bench.pwl_units.integer import ProgrammablePwlUnit
from tests.bench.pwl_units.programmable import ProgrammableUnit

TOP = "pwl"
SHORT_LINES = "float32, int8's lines"
INT32_FRACTION = 16  # inputs, coefficients and results are Q15.16
INT8 = PwlFormat(8, 8, 6)
MULTIPLIER = 40_503  # any of full precision
SETTLE = 8  # steps until the pipeline is full


@dataclass(frozen=True)
class Lines:
    """A function as N lines: ``breakpoints`` float64 [N - 1] ascending, ``slopes``, ``intercepts`` float64 [N]."""

    breakpoints: np.ndarray
    slopes: np.ndarray
    intercepts: np.ndarray


@dataclass(frozen=True)
class PwlKind:
    """A kind of numbers of ``width`` bits: its unit by entries and lanes, real inputs as words on its port,
    and the registers that hold a function's lines, by name.
    """

    name: str
    width: int
    unit: Callable[[int, int], ProgrammableUnit]
    words: Callable[[np.ndarray], np.ndarray]
    registers: Callable[[Lines], dict[str, int]]


@dataclass(frozen=True)
class UnitCost:
    """One lane with its table, and what each further lane adds; energies in fJ an element, zero-delay and NLDM.

    ``delay_ps`` is the longest path with clock-to-output and setup time.
    """

    kind: str
    entries: int
    area_um2: float
    lane_area_um2: float
    delay_ps: float
    energy_fj: float
    lane_energy_fj: float
    glitch_energy_fj: float
    lane_glitch_energy_fj: float
    booth: bool


def kinds(input_fraction: int, shift: int) -> dict[str, PwlKind]:
    """int8 (codes of scale 2^-``input_fraction``, results shifted by ``shift``), int32, float32 and bfloat16.

    ``int8 requantised`` multiplies its results before they are shifted, by 16 bits, for a scale of any size.
    SHORT_LINES is the float32 unit when its table holds what an int8 table holds: its multiplier toggles less.
    """
    wide = PwlFormat(32, 32, INT32_FRACTION)
    settings = {"own_input_fraction": input_fraction, "own_shift": shift}
    requantised = settings | {"own_multiplier": MULTIPLIER, "own_shift": shift + MULTIPLIER_BITS}
    return {
        "int8": PwlKind(
            "int8",
            8,
            lambda entries, lanes: ProgrammablePwlUnit(entries, INT8, lanes=lanes),
            lambda x: _fixed(x, 8, input_fraction),
            lambda lines: _fixed_table(lines, 8, input_fraction, INT8) | settings,
        ),
        "int8 requantised": PwlKind(
            "int8 requantised",
            8,
            lambda entries, lanes: ProgrammablePwlUnit(entries, INT8, scaled=True, lanes=lanes),
            lambda x: _fixed(x, 8, input_fraction),
            lambda lines: _fixed_table(lines, 8, input_fraction, INT8) | requantised,
        ),
        "int32": PwlKind(
            "int32",
            32,
            lambda entries, lanes: ProgrammablePwlUnit(
                entries,
                wide,
                input_width=32,
                output_width=32,
                input_fraction=INT32_FRACTION,
                shift=INT32_FRACTION,
                lanes=lanes,
            ),
            lambda x: _fixed(x, 32, INT32_FRACTION),
            lambda lines: _fixed_table(lines, 32, INT32_FRACTION, wide),
        ),
        "float32": _float("float32", SINGLE),
        SHORT_LINES: replace(
            _float(SHORT_LINES, SINGLE), registers=lambda lines: _float("float32", SINGLE).registers(_short(lines))
        ),
        "bfloat16": _float("bfloat16", BFLOAT16),
    }


def unit_cost(
    kind: PwlKind, lines: Lines, inputs: np.ndarray, liberty: Liberty, *, clock_ps: float, booth: bool
) -> UnitCost:
    """Cost of a unit that holds ``lines`` and sees real ``inputs`` float64 [n], mapped for a clock period."""
    entries = len(lines.slopes)
    one, two = (
        synthesise(to_verilog(kind.unit(entries, lanes), TOP), TOP, liberty, clock_ps=clock_ps, booth=booth)
        for lanes in (1, 2)
    )
    registers = kind.registers(lines)
    words = kind.words(inputs)
    half = len(words) // 2
    single = _energies(run(one, liberty, words, registers, clock_ps), one, liberty, clock_ps)
    both = words[:half] | words[half : 2 * half] << kind.width
    double = _energies(run(two, liberty, both, registers, clock_ps), two, liberty, clock_ps)
    return UnitCost(
        kind.name, entries, one.area_um2, two.area_um2 - one.area_um2,
        power_model(one, liberty, clock_ps).timing.delay_ps,
        single[0], double[0] - single[0], single[1], double[1] - single[1], booth,
    )  # fmt: skip


def best_unit(kind: PwlKind, lines: Lines, inputs: np.ndarray, liberty: Liberty, *, clock_ps: float) -> UnitCost:
    """The cheaper, in energy, of the unit with Booth multipliers and with Yosys' other form."""
    both = [unit_cost(kind, lines, inputs, liberty, clock_ps=clock_ps, booth=booth) for booth in (False, True)]
    return min(both, key=lambda cost: cost.energy_fj)


def run(
    design: Synthesis, liberty: Liberty, words: np.ndarray, registers: Mapping[str, int], clock_ps: float
) -> Activity:
    """Waveforms of a mapped unit that takes one word int64 [n] a cycle, its table's registers holding still."""
    ports = {"i__payload": words, "i__valid": np.ones(len(words), np.int64), "o__ready": np.ones(len(words), np.int64)}
    traces = {name: np.full(len(words), value, np.int64) for name, value in registers.items()}
    return simulate(power_model(design, liberty, clock_ps).netlist, ports, traces, settle=SETTLE)


def _energies(activity: Activity, design: Synthesis, liberty: Liberty, clock_ps: float) -> tuple[float, float]:
    """Energy of a cycle in fJ, without glitches and with NLDM delays."""
    model = power_model(design, liberty, clock_ps)
    glitching = with_glitches(activity, Delays.NLDM, model.timing)
    return model.report(activity).total.total_fj, model.report(glitching).total.total_fj


def _fixed(x: np.ndarray, width: int, fraction: int) -> np.ndarray:
    """Codes int64 of ``width`` bits, unsigned patterns."""
    return np.clip(np.rint(x * 2.0**fraction), *signed_range(width)).astype(np.int64) & ((1 << width) - 1)


def _fixed_table(lines: Lines, width: int, fraction: int, form: PwlFormat) -> dict[str, int]:
    breakpoints = _fixed(np.ceil(lines.breakpoints * 2.0**fraction) * 2.0**-fraction, width, fraction)
    slopes = _fixed(lines.slopes, form.slope_width, form.fraction)
    return _named(breakpoints, slopes, _fixed(lines.intercepts, form.intercept_width, form.fraction))


def _named(breakpoints: np.ndarray, slopes: np.ndarray, intercepts: np.ndarray) -> dict[str, int]:
    table = {f"breakpoint_{number + 1}": int(value) for number, value in enumerate(breakpoints)}
    table |= {f"slope_{number}": int(value) for number, value in enumerate(slopes)}
    return table | {f"intercept_{number}": int(value) for number, value in enumerate(intercepts)}


def _short(lines: Lines) -> Lines:
    """Coefficients of INT8's fraction bits."""
    one = 2.0**INT8.fraction
    return Lines(lines.breakpoints, np.rint(lines.slopes * one) / one, np.rint(lines.intercepts * one) / one)


def _float(name: str, form: FloatFormat) -> PwlKind:
    def words(x: np.ndarray) -> np.ndarray:
        """Bit patterns; the shorter format cuts the longer one."""
        return x.astype(np.float32).view(np.uint32).astype(np.int64) >> (32 - form.width)

    def registers(lines: Lines) -> dict[str, int]:
        patterns = words(lines.breakpoints)
        magnitudes = (1 << (form.width - 1)) - 1
        keys = np.where(patterns >> (form.width - 1), patterns ^ magnitudes, patterns) * (lines.breakpoints != 0)
        return _named(keys, words(lines.slopes), words(lines.intercepts))

    return PwlKind(name, form.width, lambda entries, lanes: FloatPwlUnit(entries, form, lanes=lanes), words, registers)
