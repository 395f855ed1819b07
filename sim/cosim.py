"""Co-simulation: the emitted Verilog computes every accumulator and output that the emulation computed.

    cosimulate(config, jobs, seed=1, backpressure=0.3)

schedules the jobs, plays the beats through the accelerator in Verilator and compares every answer.
"""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from slipstick.errors import UserError
from slipstick.rtl.emit import accelerator_verilog
from slipstick.rtl.spec.array import ArrayConfig
from slipstick.rtl.spec.schedule import Kind, Schedule, required_depth, schedule

from .drive import Mode, drive
from .player import Answers
from .runner import SimulationError
from .vectors import GemmJob

Quantity = Literal["accumulator", "output"]
ACCUMULATOR_ROWS = 256
SHOWN = 10  # mismatches that a result lists


@dataclass(frozen=True)
class Mismatch:
    """One value that differs: where it is in the layer, where and when it left the accelerator."""

    layer: str
    quantity: Quantity
    tile: tuple[str, int]
    row: int
    column: int
    channel: int
    cells: str
    cycle: int
    got: int
    wanted: int

    def __str__(self) -> str:
        k, n = self.tile
        return (
            f"{self.layer} tile (k {k}, n {n}) row {self.row} column {self.column} (cell {self.cells}) "
            f"cycle {self.cycle}: {self.quantity} got {self.got}, wanted {self.wanted}"
        )


@dataclass(frozen=True)
class JobCount:
    """Values of one job: ``compared`` and how many of them differ, by array column where any does."""

    layer: str
    compared: int
    mismatches: int
    columns: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class CosimResult:
    """Sums over all jobs; ``cpu_seconds`` are those of the simulator from the first cycle to the last."""

    jobs: tuple[JobCount, ...]
    cycles: int
    cpu_seconds: float
    first_mismatches: tuple[Mismatch, ...] = ()
    waveform: Path | None = None

    @property
    def compared(self) -> int:
        """Values compared."""
        return sum(job.compared for job in self.jobs)

    @property
    def mismatches(self) -> int:
        """Values that differ."""
        return sum(job.mismatches for job in self.jobs)

    @property
    def cycles_per_cpu_second(self) -> float:
        """Clock cycles of the accelerator in one CPU second of the simulator."""
        return self.cycles / self.cpu_seconds

    def __str__(self) -> str:
        speed = f"{self.cycles} cycles, {self.cycles_per_cpu_second:.0f} a CPU second"
        if not self.mismatches:
            return f"{self.compared} values in {len(self.jobs)} jobs agree ({speed})"
        waveform = f"; waveform {self.waveform}" if self.waveform else ""
        return f"{self.mismatches} of {self.compared} values differ ({speed}); {self.first_mismatches[0]}{waveform}"


def cosimulate(
    config: ArrayConfig,
    jobs: Sequence[GemmJob],
    *,
    seed: int,
    backpressure: float = 0.0,
    mode: Mode = "file",
    progress: Callable[[str], None] | None = None,
    workdir: Path | None = None,
    verilog: str | None = None,
    waveform: bool = False,
) -> CosimResult:
    """Compare every accumulator and every output of ``jobs`` with the accelerator for ``config``.

    ``backpressure`` is the share of cycles, at random from ``seed``, in which the source offers nothing
    and, independently, in which the sink is not ready. ``mode`` 'file' streams the beats from a file
    inside the simulator, 'stream' drives the ports from Python. ``verilog`` replaces the emitted text. ``waveform``
    records the first value that differs, alone, into a VCD file under ``workdir``. Differences are a
    result, not an error; SimulationError means that there was no result.
    """
    if not jobs:
        raise UserError("nothing to simulate: no jobs")
    if not 0 <= backpressure < 1:
        raise UserError(f"back-pressure is a share of the cycles, at least 0 and below 1, not {backpressure}")
    say = progress or (lambda line: None)
    depth = max(required_depth(config, *_demand(config, job)) for job in jobs)
    text = verilog or accelerator_verilog(config, accumulator_rows=ACCUMULATOR_ROWS, depth=depth)
    schedules = [_schedule(config, job) for job in jobs]
    say(f"co-simulating {len(jobs)} jobs, {sum(len(some.beats) for some in schedules)} beats")
    folder = workdir or Path(tempfile.mkdtemp(prefix="slipstick-"))
    try:
        done = drive(mode, config, text, schedules, folder, seed=seed, stall=backpressure)
        counts, mismatches = _compare(config, jobs, schedules, done.answers)
        result = CosimResult(tuple(counts), done.cycles, done.cpu_seconds, tuple(mismatches))
        if waveform and mismatches:
            result = replace(result, waveform=record(config, jobs, mismatches[0], text, folder / "waveform"))
    except BaseException:
        say(f"the files of the failed run are in {folder}")
        raise
    if workdir is None and not result.waveform:
        shutil.rmtree(folder)
    say(str(result))
    return result


def record(config: ArrayConfig, jobs: Sequence[GemmJob], mismatch: Mismatch, verilog: str, folder: Path) -> Path:
    """VCD file of one row of one tile alone: the accelerator computing the value that differs."""
    job = next(job for job in jobs if job.layer == mismatch.layer)
    row, first = slice(mismatch.row, mismatch.row + 1), mismatch.tile[1] * len(job.columns)
    channels = slice(first, first + len(job.columns))
    one = replace(
        job,
        activations=job.activations[row],
        weights=job.weights[:, channels],
        bias=job.bias[channels],
        requant=replace(job.requant, multiplier=job.requant.multiplier[channels], shift=job.requant.shift[channels]),
        accumulators=job.accumulators[row, channels],
        outputs=job.outputs[row, channels],
    )
    done = drive("stream", config, verilog, [_schedule(config, one)], folder, seed=1, waves=True)
    assert done.waveform
    return done.waveform


def _demand(config: ArrayConfig, job: GemmJob) -> tuple[int, np.ndarray, tuple[int, ...]]:
    outside = [column for column in job.columns if not 0 <= column < config.columns]
    if outside:
        raise UserError(f"{job.layer} uses columns {outside}; the array has {config.columns}")
    return job.activations.shape[1], job.bias, job.columns


def _schedule(config: ArrayConfig, job: GemmJob) -> Schedule:
    return schedule(
        config, job.activations, job.weights, job.bias, job.requant,
        columns=job.columns, accumulator_rows=ACCUMULATOR_ROWS,
    )  # fmt: skip


def _compare(
    config: ArrayConfig, jobs: Sequence[GemmJob], schedules: Sequence[Schedule], answers: Answers
) -> tuple[list[JobCount], list[Mismatch]]:
    counts: list[JobCount] = []
    mismatches: list[Mismatch] = []
    first = 0
    for job, planned in zip(jobs, schedules, strict=True):
        own = answers[first : first + planned.answers]
        first += planned.answers
        if np.flatnonzero(own.last).tolist() != [planned.answers - 1]:
            raise SimulationError(f"{job.layer}: tlast came with answers {np.flatnonzero(own.last)[:4]}, not the last")
        got = planned.gather(own.lanes)
        by_column: dict[int, int] = {}
        compared = 0
        expected: list[tuple[Kind, Quantity, np.ndarray]] = [
            (Kind.DRAIN_ACCUMULATORS, "accumulator", job.accumulators),
            (Kind.DRAIN_OUTPUTS, "output", job.outputs),
        ]
        for kind, quantity, wanted in expected:
            compared += wanted.size
            for row, channel in np.argwhere(got[kind] != wanted).tolist():
                column = job.columns[channel % len(job.columns)]
                by_column[column] = by_column.get(column, 0) + 1
                if len(mismatches) < SHOWN:
                    mismatches.append(Mismatch(
                        job.layer, quantity, ("all", channel // len(job.columns)), row, column, channel,
                        " + ".join(dict.fromkeys(cell.name for cell in config.column_cells(column))),
                        int(own.cycle[planned.answer_number(kind, row, channel)]),
                        int(got[kind][row, channel]), int(wanted[row, channel]),
                    ))  # fmt: skip
        counts.append(JobCount(job.layer, compared, sum(by_column.values()), dict(sorted(by_column.items()))))
    return counts, mismatches
