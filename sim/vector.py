"""Co-simulation of the non-linear units: their Verilog computes what ``rtl.spec`` says, whatever the timing.

    cosimulate_tables(jobs, lanes=2, seed=1, backpressure=0.3)

loads one table after another into a single programmable unit and compares every code's result.
"""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from amaranth.lib.wiring import Component

from slipstick.errors import UserError
from slipstick.rtl.pwl_programmable import FRACTION_BITS, ProgrammablePwlUnit
from slipstick.rtl.spec.fixed import requantise
from slipstick.rtl.spec.pwl import PwlFormat, PwlTable
from slipstick.rtl.spec.widths import signed_range

from .runner import SimulationError
from .unit import UnitAnswers, parts, play

SHOWN = 10  # mismatches that a result lists


@dataclass(frozen=True)
class UnitMismatch:
    """One value that differs: where it is, and when it left the unit."""

    unit: str
    row: int
    element: int
    cycle: int
    got: int
    wanted: int

    def __str__(self) -> str:
        where = f"{self.unit} row {self.row} element {self.element} cycle {self.cycle}"
        return f"{where}: got {self.got}, wanted {self.wanted}"


@dataclass(frozen=True)
class UnitResult:
    """Values ``compared`` and how many differ; ``cycles`` from reset to the last answer."""

    compared: int
    mismatches: int
    cycles: int
    cpu_seconds: float
    first_mismatches: tuple[UnitMismatch, ...] = ()

    def __str__(self) -> str:
        if not self.mismatches:
            return f"{self.compared} values agree ({self.cycles} cycles)"
        return f"{self.mismatches} of {self.compared} values differ ({self.cycles} cycles); {self.first_mismatches[0]}"


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
    done = _play(unit, joined, answers, seed, backpressure, verilog)
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


def cosimulate_rows(
    unit: Any,
    rows: Sequence[np.ndarray | Mapping[str, np.ndarray]],
    wanted: Sequence[np.ndarray],
    *,
    seed: int,
    backpressure: float = 0.0,
    verilog: str | None = None,
) -> UnitResult:
    """Send rows through a unit of ``row_beat`` streams and compare every element with ``wanted`` int64 [T].

    A row is ``data`` int64 [T], or all fields of the unit's payload by name: [T], or one number for the row.
    Rows may differ in length; the rest of a last beat holds noise that ``keep`` excludes. Raises
    SimulationError when there was no result, or when the answers' rows end elsewhere.
    """
    fields = {part.name.removeprefix("i.payload."): part for part in parts(unit, inputs=True)}
    lanes = fields["data"].count
    rng = np.random.default_rng(seed)
    beats: dict[str, list[np.ndarray]] = {name: [] for name in fields}
    ends = []
    for row, result in zip(rows, wanted, strict=True):
        given = row if isinstance(row, Mapping) else {"data": row}
        count = -(-len(result) // lanes)
        spare = count * lanes - len(result)
        keep = np.full(count, (1 << lanes) - 1)
        keep[-1] >>= spare
        for name, value in {**given, "keep": keep, "last": np.arange(count) == count - 1}.items():
            if fields[name].count:
                own = in_lanes(value, lanes)
                noise = rng.integers(*signed_range(fields[name].width), spare, endpoint=True)
                own.reshape(-1)[len(value) :] = noise
                beats[name].append(own)
            else:
                beats[name].append(np.broadcast_to(value, count))
        ends.append(count)
    joined = {f"i.payload.{name}": np.concatenate(some) for name, some in beats.items()}
    done = _play(unit, joined, len(joined["i.payload.data"]), seed, backpressure, verilog)
    for part in ("keep", "last"):
        if (done.values[f"o.payload.{part}"] != joined[f"i.payload.{part}"]).any():
            raise SimulationError(f"{unit.module_name}: {part} left the unit in other beats than it came in")
    ends = np.cumsum(ends).tolist()
    places = [slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    name = unit.module_name
    return compare(
        done, "o.payload.data", [(name, number, *one) for number, one in enumerate(zip(places, wanted, strict=True))]
    )


def in_lanes(values: np.ndarray, lanes: int) -> np.ndarray:
    """Values [n] as beats [ceil(n / lanes), lanes], the last one filled with 0."""
    beats = np.zeros((-(-len(values) // lanes), lanes), np.int64)
    beats.reshape(-1)[: len(values)] = values
    return beats


def compare(done: UnitAnswers, part: str, rows: Sequence[tuple[str, int, slice, np.ndarray]]) -> UnitResult:
    """Compare answers with what is wanted: unit, row number, the row's answers, values int64 [n] of each row."""
    compared = wrong = 0
    shown: list[UnitMismatch] = []
    for unit, number, where, wanted in rows:
        got = done.values[part][where].reshape(-1)[: len(wanted)]
        differing = np.flatnonzero(got != wanted)
        compared += len(wanted)
        wrong += len(differing)
        lanes = done.values[part].shape[1]
        for element in differing[: SHOWN - len(shown)].tolist():
            cycle = int(done.cycle[where][element // lanes])
            shown.append(UnitMismatch(unit, number, element, cycle, int(got[element]), int(wanted[element])))
    return UnitResult(compared, wrong, done.cycles, done.cpu_seconds, tuple(shown))


def _play(
    unit: Component, beats: dict[str, np.ndarray], answers: int, seed: int, backpressure: float, verilog: str | None
) -> UnitAnswers:
    if not 0 <= backpressure < 1:
        raise UserError(f"back-pressure is a share of the cycles, at least 0 and below 1, not {backpressure}")
    folder = Path(tempfile.mkdtemp(prefix="slipstick-"))
    done = play(unit, beats, answers, folder, seed=seed, stall=backpressure, verilog=verilog)
    shutil.rmtree(folder)  # the files of a failed run stay, and its error names them
    return done
