"""Whatever gate, operator, multiplexer or register of an emitted accelerator is changed, co-simulation says where.

Mutants that no stream tells from the design are proved equal to it, by SAT or on all operands.
"""

import re
from pathlib import Path

import numpy as np
import pytest

from slipstick.flow import yosys
from slipstick.rtl.cells import cell
from slipstick.rtl.spec.array import ArrayConfig, CellMix
from slipstick.rtl.spec.beats import Beats, MatrixProduct, schedule
from slipstick.rtl.spec.fixed import Requant
from slipstick.rtl.spec.machine import AcceleratorConfig
from slipstick.rtl.verilog.emit import accelerators_verilog
from slipstick.sim import player
from slipstick.sim.campaign import build, play
from slipstick.sim.trials import Trial, random_beats, random_product

from .mutants import Mutant, mutants, spread, with_mutants

COUNT, SEED = 320, 20
ROWS, COLUMNS = 4, 2
CELLS = ("truncated_magnitude8s_k6_c2", "exact_multiples8s")
CONFIG = AcceleratorConfig(
    ArrayConfig(ROWS, COLUMNS, CellMix.by_column([cell(name) for name in CELLS], rows=ROWS, columns=COLUMNS)),
    tile_rows=2, tile_columns=1, accumulator_rows=5, depth=200,
)  # fmt: skip
PLACE = (
    r"values differ; answer \d+ column \d+ \(cell \w+\) beat \d+ cycle \d+|stuck after \d+|tlast of answer \d+|cycles, "
)
HARMLESS = {
    r"mesh_tags\w*, .*-> standing": "after a reset, rows move that no answer is made of",
    r"register\w*, .*: advance & valid -> ": "a register takes what is no row: no answer is made of it",
    r"control, .*-> answer_last": "TLAST of no answer",
}
"""Mutants that cannot be seen, by what they are; each with why."""


def short(seed: int) -> Beats:
    """Sums that end half-way between two codes; products of two columns and of one; beats at random."""
    rng = np.random.default_rng(seed)
    ramp, ones = np.arange(-128, 128).astype(np.int8)[:, None], np.ones((1, COLUMNS), np.int8)
    halves = Requant(np.array([1, 3]), np.array([1, 3]))
    parts = [schedule(CONFIG, [MatrixProduct(ramp, ones, np.zeros(COLUMNS, np.int64), halves)], raw=(False,)).beats]
    for columns in ([0, 1], [1], [0]):
        jobs = [random_product(rng, CONFIG, columns) for _ in range(2)]
        parts.append(schedule(CONFIG, jobs, columns=columns, raw=(True, False)).beats)
        parts.append(random_beats(rng, CONFIG, 400))
    return player.join(parts)


def busy(seed: int) -> Beats:
    """Beats at random that all ask for an answer: a reset meets one at every step."""
    beats = random_beats(np.random.default_rng(seed), CONFIG, 60)
    beats.fields["compute"][-60:] = beats.fields["last"][-60:] = True
    return beats


def all_operands() -> Beats:
    """Every weight meets every activation in both columns."""
    every = np.arange(-128, 128).astype(np.int8)
    activations, zeros, ones = (
        np.repeat(every[:, None], ROWS, 1),
        np.zeros(COLUMNS, np.int64),
        np.ones(COLUMNS, np.int64),
    )
    jobs = [
        MatrixProduct(activations, np.repeat(every[first : first + ROWS, None], COLUMNS, 1), zeros, Requant(ones, ones))
        for first in range(0, 256, ROWS)
    ]
    return schedule(CONFIG, jobs, columns=list(range(COLUMNS)), raw=(True,)).beats


def trial(number: int, beats: Beats, stall_in: int = 0, stall_out: int = 0, reset_at: int = 0) -> Trial:
    return Trial(number, CONFIG, beats, "a stream", stall_in, stall_out, reset_at)


def differences(found: list[Mutant], trials: list[Trial], text: str, folder: Path) -> dict[Mutant, str]:
    """What the first trial that a mutant fails says; without the mutants that fail none."""
    folder.mkdir()
    build(trials, folder, with_mutants(text, found))
    assert [verdict.difference for verdict in play(trials, folder)] == [""] * len(trials)
    said = {}
    for number, mutant in enumerate(found, 1):
        failed = [verdict.difference for verdict in play(trials, folder, f"+mutant={number}") if verdict.difference]
        if failed:
            said[mutant] = failed[0]
    return said


def proved_equal(text: str, mutant: Mutant, folder: Path) -> bool:
    """Whether a combinational module and its mutant are one function, by SAT; False for others."""
    module = re.search(rf"^module {mutant.module} \(.*?^endmodule", text, re.S | re.M)
    assert module
    if "always" in module[0] or re.search(r"^  \w+ \w+ \($", module[0], re.M):
        return False
    start = text[: module.start()].count("\n")
    alone = Mutant(mutant.module, mutant.line - start, mutant.value, mutant.mutated)
    constant = "  localparam chosen_mutant = 1;\n"
    changed = re.sub(r"  integer chosen_mutant;\n.*\n", constant, with_mutants(module[0], [alone]))
    (folder / "gold.v").write_text(module[0])
    (folder / "gate.v").write_text(changed)
    script = (
        f"read_verilog gold.v\nproc\nrename {mutant.module} gold\ndesign -stash gold\nread_verilog gate.v\nproc\n"
        f"rename {mutant.module} gate\ndesign -stash gate\ndesign -copy-from gold gold\ndesign -copy-from gate gate\n"
        "miter -equiv -flatten -make_outputs gold gate miter\nhierarchy -top miter\nflatten\nopt -full\n"
        "tee -o proof sat -prove trigger 0 miter\n"
    )
    yosys.run(folder, script, timeout_s=120)
    return "no model found: SUCCESS" in (folder / "proof").read_text()


@pytest.mark.slow
def test_every_mutant_is_caught_with_its_place_or_proved_equal(tmp_path: Path) -> None:
    text = accelerators_verilog({"machine_0": CONFIG})
    chosen = spread(list(mutants(text)), COUNT, np.random.default_rng(SEED))
    assert len(chosen) == COUNT
    trials = [trial(0, short(0)), trial(1, short(1), 30000, 30000)]
    trials += [trial(number, busy(number), 0, 30000 * (number % 2), 50 + 7 * number) for number in range(2, 6)]
    said = differences(chosen, trials, text, tmp_path / "short")
    assert [f"{mutant}: {words}" for mutant, words in said.items() if not re.search(PLACE, words)] == []
    left = [mutant for mutant in chosen if mutant not in said]
    unseen = [mutant for mutant in left if not proved_equal(text, mutant, tmp_path)]
    said |= differences(unseen, [trial(0, all_operands()), *trials[1:]], text, tmp_path / "all") if unseen else {}
    of_operands = r"machine_0_(product|encoder)_\w+$"
    unseen = [one for one in unseen if one not in said and not re.match(of_operands, one.module)]
    assert [str(one) for one in unseen if not any(re.search(known, str(one)) for known in HARMLESS)] == []
