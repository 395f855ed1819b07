"""Co-simulation: the emitted Verilog computes every accumulator and output that the emulation computed.

    cosimulate(config, jobs, seed=1, backpressure=0.3)

schedules the jobs, plays the beats through the accelerator in Verilator and compares every answer.
"""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from slipstick.errors import UserError
from slipstick.rtl.spec.beats import MatrixProduct, Schedule, schedule
from slipstick.rtl.spec.depth import required_depth
from slipstick.rtl.spec.interpreter import cycles
from slipstick.rtl.spec.machine import AcceleratorConfig
from slipstick.rtl.verilog.emit import accelerator_verilog

from . import player
from .drive import Mode, drive
from .player import Answers
from .result import CosimResult, JobCount, Mismatch, Quantity
from .runner import SimulationError
from .vectors import GemmJob

SHOWN = 10  # mismatches that a result lists


def cosimulate(
    config: AcceleratorConfig,
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
    """Compare every accumulator and every output of ``jobs`` with the accelerator of ``config``.

    ``backpressure`` is the share of cycles, at random from ``seed``, in which the source offers nothing
    and, independently, in which the sink is not ready; without it, the cycles are compared too. ``mode`` 'file'
    streams the beats from a file inside the simulator, 'stream' drives the ports from Python. ``verilog`` replaces
    the emitted text. ``waveform`` records the first value that differs, alone, into a VCD file under ``workdir``.
    Differences are a result, not an error; SimulationError means that there was no result. Raises UserError for
    jobs that the machine cannot hold.
    """
    if not jobs:
        raise UserError("nothing to simulate: no jobs")
    if not 0 <= backpressure < 1:
        raise UserError(f"back-pressure is a share of the cycles, at least 0 and below 1, not {backpressure}")
    say = progress or (lambda line: None)
    for one in jobs:
        needed = depth_of(config, [one])
        if needed > config.depth:
            raise UserError(
                f"{one.layer}: sums of {one.activations.shape[1]} products and its biases take a depth of {needed}; "
                f"the accelerator has {config.depth}"
            )
    text = verilog or accelerator_verilog(config)
    schedules = [_schedule(config, one) for one in jobs]
    beats = player.join([some.beats for some in schedules])
    say(f"co-simulating {len(jobs)} jobs, {len(beats)} beats")
    folder = workdir or Path(tempfile.mkdtemp(prefix="slipstick-"))
    try:
        done = drive(mode, config, text, beats, folder, seed=seed, stall=backpressure)
        counts, mismatches = _compare(config, jobs, schedules, done.answers)
        wanted = None if backpressure else cycles(config, beats)
        result = CosimResult(tuple(counts), done.cycles, done.cpu_seconds, tuple(mismatches), cycles_wanted=wanted)
        if waveform and mismatches:
            result = replace(result, waveform=record(config, jobs, mismatches[0], text, folder / "waveform"))
    except BaseException:
        say(f"the files of the failed run are in {folder}")
        raise
    if workdir is None and not result.waveform:
        shutil.rmtree(folder)
    say(str(result))
    return result


def depth_of(config: AcceleratorConfig, jobs: Sequence[GemmJob]) -> int:
    """The depth that the sums of all these jobs take; UserError for columns that the array lacks."""
    for one in jobs:
        outside = [column for column in one.columns if not 0 <= column < config.array.columns]
        if outside:
            raise UserError(f"{one.layer} uses columns {outside}; the array has {config.array.columns}")
    return max(required_depth(config.array, one.activations.shape[1], one.bias, one.columns) for one in jobs)


def record(config: AcceleratorConfig, jobs: Sequence[GemmJob], mismatch: Mismatch, verilog: str, folder: Path) -> Path:
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
    done = drive("stream", config, verilog, _schedule(config, one).beats, folder, seed=1, waves=True)
    assert done.waveform
    return done.waveform


def _schedule(config: AcceleratorConfig, job: GemmJob) -> Schedule:
    product = MatrixProduct(job.activations, job.weights, job.bias, job.requant)
    return schedule(config, [product], columns=job.columns)


def _compare(
    config: AcceleratorConfig, jobs: Sequence[GemmJob], schedules: Sequence[Schedule], answers: Answers
) -> tuple[list[JobCount], list[Mismatch]]:
    counts: list[JobCount] = []
    mismatches: list[Mismatch] = []
    first_answer = first_beat = 0
    for job, planned in zip(jobs, schedules, strict=True):
        asking = np.flatnonzero(planned.beats.fields["compute"] & planned.beats.fields["last"])
        own = answers[first_answer : first_answer + len(asking)]
        if np.flatnonzero(own.last).tolist() != [len(asking) - 1]:
            raise SimulationError(f"{job.layer}: tlast came with answers {np.flatnonzero(own.last)[:4]}, not the last")
        by_column: dict[int, int] = {}
        compared = 0
        expected: list[tuple[bool, Quantity, np.ndarray]] = [
            (True, "accumulator", job.accumulators),
            (False, "output", job.outputs),
        ]
        for raw, quantity, wanted in expected:
            compared += wanted.size
            got = planned.gather(own.lanes, 0, raw)
            for row, channel in np.argwhere(got != wanted).tolist():
                column = job.columns[channel % len(job.columns)]
                by_column[column] = by_column.get(column, 0) + 1
                if len(mismatches) < SHOWN:
                    answer = planned.answer_number(0, raw, row, channel)
                    mismatches.append(Mismatch(
                        job.layer, quantity, ("all", channel // len(job.columns)), row, column, channel,
                        " + ".join(dict.fromkeys(cell.name for cell in config.array.column_cells(column))),
                        first_beat + int(asking[answer]), int(own.cycle[answer]),
                        int(got[row, channel]), int(wanted[row, channel]),
                    ))  # fmt: skip
        counts.append(JobCount(job.layer, compared, sum(by_column.values()), dict(sorted(by_column.items()))))
        first_answer, first_beat = first_answer + len(asking), first_beat + len(planned.beats)
    return counts, mismatches
