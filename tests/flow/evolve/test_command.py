"""``slipstick cells evolve``: mapped cells in a folder, resumed runs, one line for a user's mistake."""

import json
from pathlib import Path

import numpy as np
import pytest

from slipstick.flow.characterise.operands import Operands, load_operands
from slipstick.rtl.cells import cell
from slipstick.rtl.cells.cell import Cell
from slipstick.rtl.cells.library import read_netlist
from tests.flow.command_line import call

COMMAND = ("cells", "evolve")


@pytest.fixture
def workload(tmp_path: Path, operands: Operands) -> Path:
    path = tmp_path / "mine.npz"
    operands.save(path)
    return path


def test_a_run_writes_cells_that_keep_their_bounds_and_goes_on(
    workload: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "run"
    common = ("--mae", "20,80", "--seed-cell", "exact8s", "--workload", str(workload), "--generations", "2000",
              "--out", str(out), "--json")  # fmt: skip
    assert call(monkeypatch, *COMMAND, *common, "--rounds", "1") == 0
    shown = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in shown["cells"]] == ["own8s_mae20", "own8s_mae80"] and shown["rounds"] == 1
    operands = load_operands(workload)
    for one, bound in zip(shown["cells"], (20, 80), strict=True):
        document = json.loads((out / "cells" / f"{one['name']}.json").read_text())
        own = Cell(document["name"], document["family"], document["signed"], read_netlist(document))
        error = (own.table - own.exact).astype(int)
        assert own.digest == one["digest"] == document["digest"]
        assert operands.mean(np.abs(error)) == pytest.approx(one["mae"]) and one["mae"] <= bound
        assert one["energy_fj"] > 100 and one["area_um2"] > 0 and one["delay_ps"] > 0
        assert f"module mul_{one['name']} (" in (out / "cells" / f"{one['name']}.v").read_text()
    asked = json.loads((out / "manifest.json").read_text())
    assert asked["asked"]["seed_cells"] == {"exact8s": cell("exact8s").digest} and asked["commit"]

    foreign, stale = (out / "cells" / f"{name}.json" for name in ("mine_mae3", "own8s_mae7"))
    foreign.write_text("the user's"), stale.write_text("of an earlier stage")
    assert call(monkeypatch, *COMMAND, *common, "--rounds", "1") == 0  # nothing left to do
    assert json.loads(capsys.readouterr().out)["cells"] == shown["cells"]
    assert foreign.exists() and not stale.exists()
    assert call(monkeypatch, *COMMAND, *common, "--rounds", "1", "--seed", "5") == 2
    assert "holds a run with another seed" in capsys.readouterr().err


WRONG = {
    "near names: exact8s": ("--seed-cell", "exakt8s"),
    "have different widths": ("--seed-cell", "exact8s,exact8x4s"),
    "seed cell 'exact8s' is signed": ("--seed-cell", "exact8s", "--unsigned", "--uniform"),
    "operands are signed 8 x 8": ("--seed-cell", "exact8u", "--unsigned"),
    "not a list of numbers": ("--mae", "5;6"),
    "above 0 and at most 32767": ("--mae", "0"),
    "no seed cell keeps MAE": ("--mae", "1", "--seed-cell", "truncated8s_k6", "--uniform"),
    "absent.npz: not a readable": ("--workload", "absent.npz"),
    "not both": ("--workload", "x.npz", "--uniform"),
    "--minutes 0.0: must be above 0": ("--minutes", "0"),
    "names cannot begin with": ("--name", "../x"),
    "cannot be evolved": ("--seed-cell", "exact12s", "--uniform"),
    "holds other files": ("--uniform", "--out", "."),
}


@pytest.mark.parametrize("message", WRONG)
def test_a_mistake_is_one_line(
    message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "note.txt").write_text("mine")
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, *COMMAND, *WRONG[message]) == 2
    shown = capsys.readouterr().err.strip().splitlines()
    assert message in shown[-1] and shown[-1].startswith("slipstick: ")
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]
