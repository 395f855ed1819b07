"""The programmable unit's Verilog computes every table on every code, whatever the timing; a wrong gate is placed."""

import itertools
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from slipstick.errors import UserError
from slipstick.model.pwl.optimal import fit
from slipstick.rtl.spec.fixed import Requant
from slipstick.rtl.spec.pwl import PwlFormat, PwlTable
from slipstick.rtl.verilog.emit import to_verilog
from tests.bench.pwl_units.integer import ProgrammablePwlUnit
from tests.rtl.tables import FUNCTIONS, SCALES, chords
from tests.sim.tables import TableJob, cosimulate_tables

CODES = np.arange(-128, 128)


@cache
def optimal(function: str, fraction: int, entries: int) -> PwlTable:
    """The shipped way to fit, coefficients of 8 bits."""
    return fit(function, entries, fraction, PwlFormat(8, 8, 5 if function in ("reciprocal", "rsqrt") else 6))


def job(function: str, fraction: int, entries: int, gain: float = 1.0, table_of: Callable = chords) -> TableJob:
    """All codes; the results' largest magnitude becomes 127 * ``gain``, so a gain above 1 saturates."""
    table = table_of(function, fraction, entries)
    scale = Requant.from_scale(np.array([gain * 127 / np.abs(table.results).max()]))
    return TableJob(table, int(scale.multiplier[0]), int(scale.shift[0]), CODES)


@pytest.mark.parametrize("backpressure", [0.0, 0.4])
@pytest.mark.parametrize("entries", [8, 16])
@pytest.mark.parametrize("table_of", [chords, pytest.param(optimal, marks=pytest.mark.slow)])
def test_every_code_of_every_function_and_scale_agrees(table_of: Callable, entries: int, backpressure: float) -> None:
    jobs = [job(*one, entries, gain, table_of) for one in itertools.product(FUNCTIONS, SCALES) for gain in (1.0, 1.7)]
    wanted = np.concatenate([one.wanted for one in jobs])
    assert all(set(one.table.breakpoints) <= set(CODES) for one in jobs)  # so q = p is met
    assert (wanted == 127).any() and (wanted == -128).any()  # and saturation, at both ends
    result = cosimulate_tables(jobs, lanes=2, seed=3, backpressure=backpressure)
    assert result.mismatches == 0, result
    assert result.compared == 2 * 256 * len(FUNCTIONS) * len(SCALES)


def test_a_comparison_on_the_wrong_side_is_found_at_its_breakpoints() -> None:
    smooth = job("tanh", 3, 8)
    steps = tuple(10 * entry for entry in range(8))  # a jump at every breakpoint
    one = replace(smooth, table=replace(smooth.table, intercepts=steps))
    text = to_verilog(ProgrammablePwlUnit(8, PwlFormat(8, 8, 0), scaled=True, lanes=2), "unit")
    broken, count = re.subn(r"(\$signed\(\S+\)) >= (\$signed\(breakpoint_4\))", r"\1 > \2", text)
    assert count
    result = cosimulate_tables([one], lanes=2, seed=1, verilog=broken)
    (mismatch,) = result.first_mismatches
    assert CODES[mismatch.element] == one.table.breakpoints[3]
    assert mismatch.wanted == one.wanted[mismatch.element] != mismatch.got
    assert re.fullmatch(r"pwl tanh d3 n8 row 0 element \d+ cycle \d+: got -?\d+, wanted -?\d+", str(mismatch))


def test_tables_of_different_sizes_are_refused() -> None:
    with pytest.raises(UserError, match="one unit holds tables of one size"):
        cosimulate_tables([job("gelu", 3, 8), job("gelu", 3, 16)], lanes=1, seed=1)
