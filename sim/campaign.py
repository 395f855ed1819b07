"""A campaign: random machines on random streams, simulated in Verilator beside the contract in whole numbers.

Several machines share a simulator. Every trial that is done stands in a journal, so that a campaign goes on
where it was stopped.
"""

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from slipstick.errors import UserError
from slipstick.rtl.spec.machine import AcceleratorConfig
from slipstick.rtl.verilog.emit import accelerators_verilog
from slipstick.sources import code_digest

from . import player
from .compile import SimulationError, compile_simulator, plain_folder
from .drive import SHARED
from .runner import FLAGS, QUIET, control_file
from .trials import STALL, Trial, draw
from .verilator import find_verilator

TOGETHER = 4  # trials of one simulator
TOP = "campaign"
_RESULT = re.compile(r"trial (\d+): done (\d), (\d+) cycles, (\d+) violations")


@dataclass(frozen=True)
class Verdict:
    """What a trial found: ``difference`` is empty where the simulated machine did what the contract says."""

    number: int
    trial: str
    answers: int
    difference: str


class Journal:
    """The verdicts of a campaign in a file, a line each; its first line says what they are of."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path = path
        self.head = {"seed": seed, "code": code_digest("slipstick.sim.campaign", "slipstick.rtl.array.accelerator")}

    def open(self) -> dict[int, Verdict]:
        """Verdicts so far by number; UserError where the file is of another seed or another state of the code."""
        if not self.path.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(json.dumps(self.head) + "\n")
            return {}
        lines = self.path.read_text().splitlines()
        try:
            head, *found = [json.loads(line) for line in lines]
            verdicts = [Verdict(**one) for one in found]
        except (ValueError, TypeError) as error:
            raise UserError(f"{self.path} is no journal of a campaign: {error}; give another --out") from error
        if head != self.head:
            what = "seed" if head.get("seed") != self.head["seed"] else "state of the code"
            raise UserError(f"{self.path} is of another {what}; give another --out, or remove it")
        return {one.number: one for one in verdicts}

    def add(self, verdicts: Sequence[Verdict]) -> None:
        """Append some."""
        with self.path.open("a") as file:
            file.write("".join(json.dumps(asdict(one)) + "\n" for one in verdicts))


def campaign(seed: int, numbers: Sequence[int], out: Path, jobs: int | None = None) -> Iterator[Verdict]:
    """Verdicts of these trials as they are done, those of the journal in ``out`` first.

    ``jobs`` processes at a time, as many as there are CPUs by default. The files of a trial that differs are kept
    in ``out``. Raises UserError for a journal of something else.
    """
    find_verilator()
    journal = Journal(out / "journal.jsonl", seed)
    known = journal.open()
    yield from (known[number] for number in numbers if number in known)
    left = [number for number in numbers if number not in known]
    batches = [left[first : first + TOGETHER] for first in range(0, len(left), TOGETHER)]
    with ProcessPoolExecutor(jobs or len(os.sched_getaffinity(0))) as pool:
        running: list[Future[list[Verdict]]] = [pool.submit(_batch, seed, batch, out) for batch in batches]
        try:
            for one in as_completed(running):
                journal.add(one.result())
                yield from one.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _batch(seed: int, numbers: Sequence[int], out: Path) -> list[Verdict]:
    """Verdicts of trials that share a simulator; where it does not build or end, each trial has one of its own."""
    trials = [draw(seed, number) for number in numbers]
    try:
        return run_trials(trials, out)
    except SimulationError as error:
        if len(trials) > 1:
            return [verdict for number in numbers for verdict in _batch(seed, [number], out)]
        return [Verdict(trials[0].number, str(trials[0]), 0, str(error).splitlines()[0])]


def run_trials(trials: Sequence[Trial], out: Path, verilog: str | None = None) -> list[Verdict]:
    """Simulate trials side by side; ``verilog`` replaces the emitted text.

    SimulationError where it does not build, or does not end.
    """
    with tempfile.TemporaryDirectory(prefix="slipstick-campaign-", dir=plain_folder()) as name:
        folder = Path(name)
        sources = build(trials, folder, verilog)
        verdicts = play(trials, folder)
        for verdict in verdicts:
            if verdict.difference:
                _keep(folder, out / f"failed-{verdict.number}", sources | {"trial.txt": verdict.trial}, verdict.number)
    return verdicts


def build(trials: Sequence[Trial], folder: Path, verilog: str | None = None) -> dict[str, str]:
    """A simulator of trials in a folder, and its Verilog by file; ``verilog`` replaces the emitted text."""
    names = machines(trials)
    text = verilog or accelerators_verilog({name: config for config, name in names.items()})
    for one in trials:
        player.write_beats(folder / f"{one.number}.beats", one.beats)
    players = "".join(player.around(names[one.config], f"player_{one.number}") for one in trials)
    sources = {"designs.v": text, "players.v": players, "campaign.v": _bench(trials)}
    flags = [flag for flag in (*FLAGS, *QUIET) if flag != "--vpi"]
    control = control_file(TOP, SHARED)
    compile_simulator(find_verilator(), flags, TOP, sources, control, folder / TOP, folder / "log", alone=True)
    return sources


def play(trials: Sequence[Trial], folder: Path, *arguments: str) -> list[Verdict]:
    """Run the simulator of these trials once; SimulationError where it does not end."""
    random = ["+verilator+rand+reset+2", f"+verilator+seed+{trials[0].number % 0x7FFFFFFE + 1}"]
    done = subprocess.run([folder / TOP, *random, *arguments], cwd=folder, capture_output=True, text=True)
    results = {int(number): tuple(map(int, rest)) for number, *rest in _RESULT.findall(done.stdout)}
    if done.returncode or len(results) != len(trials):
        raise SimulationError(f"the simulator ended early: {(done.stderr or done.stdout)[-300:]}")
    return [_judge(one, folder, *results[one.number]) for one in trials]


def machines(trials: Sequence[Trial]) -> dict[AcceleratorConfig, str]:
    """The name of each machine's module: that of the first trial on it."""
    return {one.config: f"machine_{one.number}" for one in reversed(trials)}


def _answers(trial: Trial) -> np.ndarray:
    """Numbers of the beats that ask for an answer."""
    return np.flatnonzero(trial.beats.fields["compute"] & trial.beats.fields["last"])


def _bench(trials: Sequence[Trial]) -> str:
    """Verilog that plays every trial's file, resets those that ask for it, and says how each ended."""
    parts, ends, shown, allowed = [], [], [], 0
    for one in trials:
        name = f"p{one.number}"
        sizes = player.parameters(one.config) | {
            "BEATS_FILE": f'"{one.number}.beats"', "ANSWERS_FILE": f'"{one.number}.answers"'
        }  # fmt: skip
        given = {
            "reset_n": f"{name}_reset_n", "go": "1'b1", "beats": f"32'd{len(one.beats)}",
            "answers": f"32'd{len(_answers(one))}", "seed": f"32'd{one.number * 2654435761 % (1 << 32) | 1}",
            "stall_in": f"17'd{one.stall_in}", "stall_out": f"17'd{one.stall_out}", "done": f"{name}_done",
            "cycles": f"{name}_cycles", "violations": f"{name}_violations",
        }  # fmt: skip
        again = f" #{one.reset_at} {name}_reset_n = 0; #4 {name}_reset_n = 1;" if one.reset_at else ""
        parts.append(
            f"  reg {name}_reset_n;\n  wire {name}_done;\n  wire [31:0] {name}_cycles, {name}_violations;\n"
            f"  player_{one.number} #({', '.join(f'.{key}({value})' for key, value in sizes.items())}) {name} (\n"
            f"    {', '.join(f'.{key}({value})' for key, value in given.items())}\n  );\n"
            f"  initial begin {name}_reset_n = 0; #4 {name}_reset_n = 1;{again} end\n"
        )
        ends.append(f"{name}_done")
        shown.append(
            f'    $display("trial %0d: done %0d, %0d cycles, %0d violations", {one.number}, {name}_done, '
            f"{name}_cycles, {name}_violations);\n"
        )
        rests = sum(1 / (1 - pauses / STALL) for pauses in (one.stall_in, one.stall_out))
        allowed = max(allowed, int(2 * one.cycles * rests) + one.reset_at + 1000)
    return (
        f"module {TOP};\n{''.join(parts)}  wire done = {' && '.join(ends)};\n  integer now = 0;\n"
        f"  initial begin\n    #16;\n    while (!done && now < {allowed}) begin #16; now = now + 16; end\n"
        f"{''.join(shown)}    $finish;\n  end\nendmodule\n"
    )


def _judge(trial: Trial, folder: Path, done: int, cycles: int, violations: int) -> Verdict:
    """Every answer, mark, and, where nothing pauses, the number of cycles, against the contract."""
    wanted, asking = trial.answers, _answers(trial)

    def verdict(difference: str) -> Verdict:
        return Verdict(trial.number, str(trial), len(wanted), difference)

    got = player.read_answers(folder / f"{trial.number}.answers", trial.config.array.columns)
    if not done:
        return verdict(f"stuck after {len(got)} of {len(wanted)} answers")
    differing = np.argwhere(got.lanes != wanted)
    if len(differing):
        answer, column = (int(number) for number in differing[0])
        cells = " + ".join(dict.fromkeys(one.name for one in trial.config.array.column_cells(column)))
        kind = "accumulator" if trial.beats.fields["raw"][asking[answer]] else "output"
        return verdict(
            f"{len(differing)} of {wanted.size} values differ; answer {answer} column {column} (cell {cells}) beat "
            f"{asking[answer]} cycle {got.cycle[answer]}: {kind} got {got.lanes[answer, column]}, "
            f"wanted {wanted[answer, column]}"
        )
    marks = np.flatnonzero(got.last != trial.beats.fields["end"][asking])
    if len(marks):
        return verdict(f"tlast of answer {marks[0]} is {int(got.last[marks[0]])}")
    if violations:
        return verdict(f"{violations} answers changed while they were not taken")
    if trial.in_time and cycles != (due := trial.cycles):
        return verdict(f"{cycles} cycles, {due} wanted")
    return verdict("")


def _keep(folder: Path, target: Path, texts: dict[str, str], number: int) -> None:
    """What is needed to look at a trial again."""
    target.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (target / name).write_text(text)
    for end in ("beats", "answers"):
        (target / f"{number}.{end}").write_bytes((folder / f"{number}.{end}").read_bytes())
