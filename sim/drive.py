"""Two ways to get beats into the simulated accelerator and its answers out.

'file': a player in Verilog streams from file to file, Python sleeps. 'stream': Python drives the ports.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from slipstick.errors import UserError
from slipstick.rtl.spec.beats import Beats
from slipstick.rtl.spec.machine import AcceleratorConfig

from . import player
from .player import Answers
from .runner import Build, SimulationError, build, run

Mode = Literal["file", "stream"]
BENCH = "slipstick.sim.bench_accelerator"
PARTS = ("product", "adder_tree", "dot")  # nearly all gates of an array
SHARED = tuple(pattern for part in PARTS for pattern in (f"{part}_*", f"*_{part}_*"))
_TOP = re.compile(r"^\s*module\s+(\w+)\s*(?:#\s*\([^;]*?\)\s*)?\(([^;]*?\bs_axis_tdata\b[^;]*)\)\s*;", re.M)


@dataclass(frozen=True)
class Drive:
    """Answers to all beats, clock cycles, CPU seconds from the first cycle to the last, waveform if any."""

    answers: Answers
    cycles: int
    cpu_seconds: float
    waveform: Path | None


def drive(
    mode: Mode,
    config: AcceleratorConfig,
    verilog: str,
    beats: Beats,
    folder: Path,
    *,
    seed: int,
    stall: float = 0.0,
    reset_at: int = 0,
    waves: bool = False,
) -> Drive:
    """Build ``verilog`` and send it ``beats`` in one simulation.

    ``stall`` is the share of cycles in which either side pauses, at random from ``seed``. In mode 'file',
    ``reset_at`` cycles into the stream the machine is reset, and the stream begins again. Files stand in
    ``folder``. Raises SimulationError when the accelerator hangs or breaks the rules of AXI4-Stream.
    """
    top = top_module(verilog)
    folder.mkdir(parents=True, exist_ok=True)
    columns, count = config.array.columns, int((beats.fields["compute"] & beats.fields["last"]).sum())
    slowest = sum(config.mesh) + 4  # cycles that a beat waits for those before it
    allowed = int(4 * (len(beats) + count) * slowest / (1 - stall)) + 10_000
    plan: dict[str, Any] = {"seed": seed, "cycles_allowed": allowed, "answers": count, "reset_at": reset_at}
    if mode == "file":
        sources = {"accelerator.v": verilog, "player.v": player.around(top)}
        built = build(sources, "player", parameters=player.parameters(config), shared=SHARED, waves=waves)
        player.write_beats(folder / "beats.bin", beats)
        state = (seed * 2654435761 + 1) % (1 << 32) or 1  # xorshift stays at zero
        plan |= {"seed": state, "stall": round(stall * 65536), "beats": len(beats)}
        report, waveform = _run(built, "play", folder, seed, plan)
        answers = player.read_answers(folder / "answers.bin", columns)
    else:
        built = build({"accelerator.v": verilog}, top, shared=SHARED, waves=waves)
        player.write_stream(folder / "beats.txt", beats)
        plan |= {"stall": stall}
        report, waveform = _run(built, "stream", folder, seed, plan)
        answers = player.read_stream(folder / "answers.txt", columns)
    return Drive(answers, report["cycles"], report["cpu_seconds"], waveform)


def top_module(verilog: str) -> str:
    """The module with the accelerator's ports, whatever its name; UserError unless there is exactly one."""
    found = [match[1] for match in _TOP.finditer(verilog) if "m_axis_tdata" in match[2]]
    if len(found) != 1:
        listed = f"several, {', '.join(found)}" if found else "none"
        raise UserError(f"one module of the Verilog must have the ports s_axis_* and m_axis_*; there is {listed}")
    return found[0]


def _run(built: Build, testcase: str, folder: Path, seed: int, plan: dict) -> tuple[dict, Path | None]:
    (folder / "bench.json").write_text(json.dumps(plan))
    waveform = run(built, BENCH, folder, seed=seed, testcase=testcase)
    report = json.loads((folder / "report.json").read_text())
    if report["violations"]:
        raise SimulationError(f"{report['violations']} answers changed while they were not taken; files in {folder}")
    return report, waveform
