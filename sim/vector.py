"""Co-simulation of the non-linear units: their Verilog computes what ``rtl.spec`` says, whatever the timing."""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from amaranth.lib.wiring import Component

from slipstick.errors import UserError
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
