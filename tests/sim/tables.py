"""Co-simulation of the loadable table unit: one table after another, every code's result compared.

cosimulate_tables(jobs, lanes=2, seed=1, backpressure=0.3)
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slipstick.errors import UserError
from slipstick.rtl.spec.fixed import requantise
from slipstick.rtl.spec.pwl import PwlFormat, PwlTable
from slipstick.sim.unit import play
from slipstick.sim.vector import UnitResult, compare, in_lanes
from tests.bench.pwl_units.integer import FRACTION_BITS, ProgrammablePwlUnit


@dataclass(frozen=True)
class TableJob:
    """Codes int64 [n] for one table, whose results become int8 by ``multiplier`` / 2^``shift``."""

    table: PwlTable
    multiplier: int
    shift: int
    codes: np.ndarray

    @property
    def name(self) -> str:
        """The function, its scale and size."""
        return f"pwl {self.table.function} d{self.table.input_fraction} n{self.table.entries}"

    @property
    def wanted(self) -> np.ndarray:
        """What the spec says, int64 [n]."""
        return requantise(self.table(self.codes, np.where), self.multiplier, self.shift, mux=np.where)


def cosimulate_tables(
    jobs: Sequence[TableJob], *, lanes: int, seed: int, backpressure: float = 0.0, verilog: str | None = None
) -> UnitResult:
    """Load every job's table into one programmable unit, send its codes, compare every result.

    The row of a mismatch is the job's number. Raises UserError for jobs whose tables differ in entries or
    input width, or do not fit the unit, SimulationError when there was no result.
    """
    shapes = {(job.table.entries, job.table.input_width) for job in jobs}
    if len(shapes) != 1 or max(job.table.input_fraction for job in jobs) >= 1 << FRACTION_BITS:
        raise UserError(f"one unit holds tables of one size, input width and scales from 2^-7, not {sorted(shapes)}")
    ((entries, input_width),) = shapes
    widths = [max(getattr(job.table.format, name) for job in jobs) for name in ("slope_width", "intercept_width")]
    unit = ProgrammablePwlUnit(
        entries, PwlFormat(widths[0], widths[1], 0), input_width=input_width, scaled=True, lanes=lanes
    )
    beats: dict[str, list[np.ndarray]] = {}
    for job in jobs:
        for beat in (_loading(job, lanes), {"i.payload": in_lanes(job.codes, lanes)}):
            count = len(beat["i.payload"])
            for name in _TABLE_PARTS:
                beats.setdefault(name, []).append(beat.get(name, np.zeros(count, np.int64)))
            beats.setdefault("i.payload", []).append(beat["i.payload"])
    joined = {name: np.concatenate(parts) for name, parts in beats.items()}
    answers = sum(-(-len(job.codes) // lanes) for job in jobs)
    with tempfile.TemporaryDirectory() as folder:
        done = play(unit, joined, answers, Path(folder), seed=seed, stall=backpressure, verilog=verilog)
    first = 0
    rows = []
    for number, job in enumerate(jobs):
        last = first + -(-len(job.codes) // lanes)
        rows.append((job.name, number, slice(first, last), job.wanted))
        first = last
    return compare(done, "o.payload", rows)


_TABLE_PARTS = ("load", "breakpoint", "slope", "intercept", "input_fraction", "shift", "multiplier")


def _loading(job: TableJob, lanes: int) -> dict[str, np.ndarray]:
    """The beats that load a table."""
    table, entries = job.table, job.table.entries
    constant = {"load": 1, "input_fraction": table.input_fraction, "shift": job.shift, "multiplier": job.multiplier}
    return {
        "i.payload": np.zeros((entries, lanes), np.int64),
        "breakpoint": np.array([0, *table.breakpoints]),
        "slope": np.array(table.slopes),
        "intercept": np.array(table.intercepts),
        **{name: np.full(entries, value) for name, value in constant.items()},
    }
