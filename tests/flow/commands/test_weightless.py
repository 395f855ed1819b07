"""``slipstick weightless``: trains, resumes, loads again, exports integers; one line for every mistake."""

import json
from pathlib import Path

import pytest
import torch

from slipstick.model.data import shipped
from slipstick.model.weightless.export import load_lutnets
from slipstick.model.weightless.replace import weightless_mlps
from slipstick.model.zoo import load_model
from tests.flow.command_line import call

pytestmark = pytest.mark.usefixtures("one_thread")
FEW = ("--recorded", "8", "--match-steps", "2", "--steps", "2", "--batch", "4", "--limit", "16")


def test_what_was_trained_loads_again_and_is_what_was_exported(pack, tmp_path, monkeypatch, capsys) -> None:
    arguments = (
        str(pack), "--blocks", "1,4", "--luts", "192", "--mapping", "sampled", "--thresholds", "2", *FEW,
        "--out", str(tmp_path / "new" / "few"), "--seed", "3", "--json",
    )  # fmt: skip
    assert call(monkeypatch, "weightless", *arguments) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["blocks"] == [1, 4] and first["explained"].keys() == {"1", "4"}
    loaded = load_model(weights=Path(first["weights"]))
    mlps = weightless_mlps(loaded.module)
    specs = load_lutnets(Path(first["integers"]).with_suffix(""))
    assert list(mlps) == list(specs) == ["blocks.1.mlp", "blocks.4.mlp"]
    for name, mlp in mlps.items():
        codes = torch.randint(-128, 128, (50, 128))
        wanted = torch.from_numpy(specs[name](codes.numpy())).float() * mlp.sum.scale
        with torch.no_grad():
            assert torch.equal(mlp(codes.float() * mlp.thermometer.scale), wanted)
    pixels = loaded.prepare(shipped("test").pixels[:2])
    logits = loaded.module(pixels)
    Path(first["weights"]).unlink()
    assert call(monkeypatch, "weightless", *arguments) == 0
    assert json.loads(capsys.readouterr().out) == first
    assert torch.equal(load_model(weights=Path(first["weights"])).module(pixels), logits)
    rest = ("--weights", first["weights"], "--teacher", "default", "--luts", "192", "--thresholds", "1", *FEW)
    assert call(monkeypatch, "weightless", str(pack), *rest, "--out", str(tmp_path / "rest"), "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["blocks"] == [0, 2, 3, 5] and len(load_lutnets(tmp_path / "rest_integers")) == 6
    for blocks, message in (("all", "--blocks none trains on"), ("none", "name the weights of a teacher")):
        again = ("--weights", found["weights"], "--blocks", blocks, *FEW, "--out", str(tmp_path / "none"))
        assert call(monkeypatch, "weightless", str(pack), *again) == 2
        assert message in capsys.readouterr().err and not list(tmp_path.glob("none*"))


def test_without_blocks_to_replace_it_trains_on(pack, tmp_path, monkeypatch, capsys) -> None:
    first = ("--blocks", "2", "--luts", "192", "--thresholds", "1", *FEW, "--out", str(tmp_path / "first"))
    assert call(monkeypatch, "weightless", str(pack), *first) == 0
    weights = ("--weights", str(tmp_path / "first.safetensors"), "--teacher", "default")
    capsys.readouterr()
    assert (
        call(monkeypatch, "weightless", str(pack), "--blocks", "none", *weights, *FEW, "--out", str(tmp_path / "on"))
        == 0
    )
    assert "multiplications" not in capsys.readouterr().out
    assert not {"mlp", "match", "recorded"} & json.loads((tmp_path / "on.json").read_text())["config"].keys()
    before, after = (
        weightless_mlps(load_model(weights=tmp_path / f"{name}.safetensors").module) for name in ("first", "on")
    )
    assert list(before) == list(after) == ["blocks.2.mlp"] and list(load_lutnets(tmp_path / "on_integers")) == list(
        after
    )
    assert not torch.equal(before["blocks.2.mlp"].sum.entries, after["blocks.2.mlp"].sum.entries)


def test_without_json_it_says_what_is_gone_and_where_the_files_are(pack, tmp_path, monkeypatch, capsys) -> None:
    out = tmp_path / "all"
    assert (
        call(monkeypatch, "weightless", str(pack), "--luts", "192", "--thresholds", "1", *FEW, "--out", str(out)) == 0
    )
    shown = " ".join(capsys.readouterr().out.split())
    assert "multiplications: 25.2 of 66.9 M go" in shown and "all_integers.safetensors" in shown
    assert len(weightless_mlps(load_model(weights=out.with_suffix(".safetensors")).module)) == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("--blocks", "0,9"), "block 9 does not exist; the model has blocks 0 to 5"),
     (("--blocks", "first"), "--blocks 'first': not a whole number"),
     (("--luts", "many"), "--luts 'many': not a whole number"),
     (("--luts", "8"), "1024 bits are more than the 48 inputs of the tables can take"),
     (("--luts", "0"), "--luts 0: must be from 1"),
     (("--arity", "7"), "--arity 7: must be from 2 to 6"), (("--thresholds", "0"), "--thresholds 0: must be from 1"),
     (("--entry-width", "40"), "--entry-width 40: must be from 2 to 16"), (("--model", "resnet18"), "not of ResNet"),
     (("--teacher", "none.safetensors"), "none.safetensors"),
     (("--rate", "0"), "--rate 0.0: must be above 0"), (("--table-rate", "-1"), "--table-rate -1.0: must be above 0")],
)  # fmt: skip
def test_a_mistake_is_one_line_and_leaves_nothing(pack, arguments, message, tmp_path, monkeypatch, capsys) -> None:
    out = tmp_path / "result" / "none"
    assert call(monkeypatch, "weightless", str(pack), *FEW, "--out", str(out), *arguments) == 2
    shown = capsys.readouterr().err.splitlines()[-1]
    assert message in shown and shown.startswith("slipstick: ")
    assert not out.parent.exists()
