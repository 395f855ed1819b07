"""Random machines do what the contract says; a campaign goes on where it was, and names what differs."""

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from slipstick.errors import UserError
from slipstick.rtl.verilog.emit import accelerators_verilog
from slipstick.sim import campaign as module
from slipstick.sim.campaign import campaign, run_trials
from slipstick.sim.trials import LARGEST, draw


def test_trials_are_those_of_their_numbers_and_cover_what_can_differ() -> None:
    trials = [draw(3, number) for number in range(60)]
    again = draw(3, 7)
    assert str(again) == str(trials[7]) and np.array_equal(again.beats.data(), trials[7].beats.data())
    configs = [one.config for one in trials]
    assert {1, LARGEST} <= {size for one in configs for size in (one.array.rows, one.array.columns)}
    assert {one.mesh == (1, 1) for one in configs} == {True, False}
    assert any(one.tile_rows * one.tile_columns == 1 < one.array.rows * one.array.columns for one in configs)
    assert Counter(one.stream == "random beats" for one in trials)[True] in range(15, 46)
    assert {bool(one.reset_at) for one in trials} == {one.in_time for one in trials} == {True, False}
    assert len({cell.family for one in configs for cell in one.array.cells}) > 10


@pytest.mark.slow
def test_random_machines_agree_and_the_journal_knows_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verdicts = list(campaign(5, range(4), tmp_path, jobs=2))
    assert [one for one in verdicts if one.difference] == [] and {one.number for one in verdicts} == set(range(4))
    lines = (tmp_path / "journal.jsonl").read_text().splitlines()
    assert len(lines) == 5 and json.loads(lines[0])["seed"] == 5
    monkeypatch.setattr(module, "_batch", None)  # nothing is simulated again
    again = list(campaign(5, range(4), tmp_path, jobs=1))
    assert again == sorted(verdicts, key=lambda one: one.number)


@pytest.mark.slow
def test_a_wrong_gate_is_named_and_its_files_are_kept(tmp_path: Path) -> None:
    trials = (draw(1, number) for number in range(99))
    trial = next(one for one in trials if one.config.tile_rows > 1 and one.stream == "random beats")
    text = accelerators_verilog({f"machine_{trial.number}": trial.config})
    tree = re.search(rf"module machine_{trial.number}_adder_tree.*?endmodule", text, re.S)
    assert tree
    gate = re.findall(r"assign n\d+ = n\d+ \^ n\d+;", tree[0])[0]
    broken = text.replace(tree[0], tree[0].replace(gate, gate.replace("^", "&")))
    (verdict,) = run_trials([trial], tmp_path, broken)
    assert re.search(r"values differ; answer \d+ column \d+ \(cell .+\) beat \d+ cycle \d+: ", verdict.difference)
    kept = {file.name for file in (tmp_path / f"failed-{trial.number}").iterdir()}
    assert {"designs.v", "campaign.v", "trial.txt", f"{trial.number}.beats", f"{trial.number}.answers"} <= kept


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "is no journal of a campaign"),
        ('{"seed": 4, "code": ""}\n', "is of another seed; give another --out, or remove it"),
        ('{"seed": 5, "code": "old"}\n', "is of another state of the code"),
        ('{"seed": 5, "code": "old"}\n{"number": 1}\n', "is no journal of a campaign"),
    ],
)
def test_a_journal_of_something_else_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_text(text)
    with pytest.raises(UserError, match=message):
        list(campaign(5, range(1), tmp_path))
    assert (tmp_path / "journal.jsonl").read_text() == text
