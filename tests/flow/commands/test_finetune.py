"""``slipstick finetune``: from a pack to weights that every command can load; the table it writes."""

import json
from pathlib import Path

import pytest
import torch

from slipstick.flow.job.recovery import Recovery
from slipstick.flow.report.finetuning import write_recovery
from slipstick.model.data import ASSETS
from slipstick.model.layers.slopes import KINDS
from slipstick.model.zoo import load_model
from tests.flow.command_line import call

pytestmark = pytest.mark.usefixtures("one_thread")


def test_weights_and_manifest_are_written_and_load_as_a_checkpoint(pack: Path, tmp_path: Path, monkeypatch, capsys):
    out = tmp_path / "new" / "weights"
    settings = ("--rule", "default=truncated8s_k8", "--gradient", "clipped", "--steps", "2", "--batch", "8",
                "--limit", "32", "--seed", "5", "--out", str(out), "--json")  # fmt: skip
    assert call(monkeypatch, "finetune", str(pack), *settings) == 0
    printed = json.loads(capsys.readouterr().out)
    facts = json.loads(out.with_suffix(".json").read_text())
    assert printed["curve"] == facts["curve"] and printed["validation"] == facts["validation"]
    assert facts["config"]["seed"] == 5 and facts["config"]["gradient"]["kind"] == "clipped"
    assert {"versions", "commit", "machine"} <= facts.keys() and facts["validation"]["images"] == 16
    trained, shipped = load_model(weights=Path(printed["weights"])).module, load_model().module
    assert not torch.equal(trained.head.weight, shipped.head.weight)


def test_a_checkpoint_of_another_network_is_refused(pack: Path, monkeypatch, capsys) -> None:
    other = str(ASSETS / "vit_cifar10.safetensors")
    rule = ("--rule", "default=exact8s")
    assert call(monkeypatch, "finetune", str(pack), *rule, "--model", "vit_tiny_patch16_224", "--weights", other) == 2
    assert "does not fit VisionTransformer: lacks" in capsys.readouterr().err


def test_the_table_has_a_row_a_cell_and_a_column_a_gradient(tmp_path: Path) -> None:
    figures = {kind: 0.5 + 0.1 * place for place, kind in enumerate(KINDS)}
    config = {
        "steps": 60, "batch": 64, "rate": 0.001, "weight_decay": 0.01, "warmup": 0.1, "smoothing": 0.1,
        "distillation": 0.5, "temperature": 2.0, "average": 0.98, "seed": 0,
        "gradient": {"half_window": 4, "tolerance": 0.1, "max_rank": 8},
    }  # fmt: skip
    tools = dict.fromkeys(("slipstick", "python", "torch", "timm", "numpy"), "1.0")
    recovery = Recovery(
        0.9, 0.89, {"one": 0.1, "two": 0.2}, {"one": figures, "two": figures}, {"one": figures, "two": figures}, config,
        4000, {"versions": tools, "machine": "x", "commit": "abc"},
    )  # fmt: skip
    write_recovery(recovery, tmp_path / "table.md")
    lines = (tmp_path / "table.md").read_text().splitlines()
    rows = [[entry.strip() for entry in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert rows[0] == ["cell in every layer", "before", "after, straight through", "after, clipped",
                       "after, table difference", "CPU s"]  # fmt: skip
    assert rows[2] == ["`one`", "10.0 %", "50.0 %", "60.0 %", "70.0 %", "0 / 1 / 1"]
    assert len(rows) == 4 and {len(row) for row in rows} == {6}
