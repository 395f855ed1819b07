"""``slipstick reuse``: a plan without images, a search with them, one line for every mistake."""

import json
from pathlib import Path

import pytest
import torch

from slipstick.model.data import shipped
from slipstick.model.reuse.convert import reuse_facts
from slipstick.model.zoo import load_model
from tests.flow.command_line import call

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_plan_needs_no_images(monkeypatch, capsys) -> None:
    paper = ("--delay-model", "crossbar", "--geometry", "DeiT-S", "--no-count-transform", "--json")
    assert call(monkeypatch, "reuse", "--delay-target", "7", *paper) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["reuse"] == 5 and plan["delay_ms"] == pytest.approx(6.82, abs=0.01)
    assert [3, 5, 7, 9, 11] in [one["blocks"] for one in plan["patterns"]]
    assert call(monkeypatch, "reuse", "--delay-target", "11", *paper) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["reuse"] == 0 and plan["patterns"] == []


def test_a_search_judges_patterns_trains_the_best_and_goes_on_where_it_was(pack, tmp_path, monkeypatch, capsys) -> None:
    out = tmp_path / "new" / "reuse"
    arguments = (
        str(pack), "--delay-target", "2.3", "--candidates", "2", "--fraction", "0.5", "--partial-steps", "2",
        "--steps", "3", "--batch", "8", "--seed", "5", "--out", str(out), "--json",
    )  # fmt: skip
    assert call(monkeypatch, "reuse", *arguments) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["reuse"] == 3 and len(first["judged"]) == 2
    assert first["chosen"] == min(first["judged"], key=lambda one: one["loss"])["blocks"]
    loaded = load_model(weights=Path(first["weights"]))
    facts = reuse_facts(loaded.module)
    assert facts is not None and facts["blocks"] == first["chosen"]
    logits = loaded.module(loaded.prepare(shipped("test").pixels[:2]))
    out.with_name("reuse.safetensors").unlink()
    assert call(monkeypatch, "reuse", *arguments) == 0
    again = json.loads(capsys.readouterr().out)
    assert again == first
    same = load_model(weights=Path(again["weights"]))
    assert torch.equal(same.module(same.prepare(shipped("test").pixels[:2])), logits)
    manifest = json.loads(out.with_name("reuse.json").read_text())
    assert manifest["judged"] == first["judged"] and "versions" in manifest


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("--pattern", "0,2"), "has encoder 0"), (("--pattern", "1,2,3,4,5,6"), "6 reuse encoders do not fit into 6"),
     (("--pattern", "two"), "--pattern 'two': not a whole number"), ((), "give --delay-target MS, or --pattern"),
     (("--delay-target", "3", "--pattern", "1"), "give --delay-target MS, or --pattern"),
     (("--delay-target", "1"), "a delay below 1 ms is not possible: from 2.623 ms without reuse, 5 of 6 encoders"),
     (("--delay-target", "4", "--geometry", "swin"), "unknown geometry 'swin'"),
     (("--delay-target", "4", "--model", "resnet18"), "knows timm's VisionTransformer, not ResNet"),
     (("--delay-target", "4", "--candidates", "-1"), "--candidates -1: must be from 0"),
     (("--delay-target", "4", "--clock-mhz", "0"), "--clock-mhz 0.0: must be above 0"),
     (("pack.npz", "--delay-target", "4", "--geometry", "deit-s"), "--geometry only plans")],
)  # fmt: skip
def test_a_mistake_is_one_line(arguments, message: str, monkeypatch, capsys) -> None:
    assert call(monkeypatch, "reuse", *arguments) == 2
    shown = capsys.readouterr().err
    assert message in shown and shown.count("\n") == 1
