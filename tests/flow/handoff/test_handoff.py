"""Every file of a hand-off, tried with the tool that reads it where that tool is at hand."""

import json
import os
import re
import shutil
import subprocess

import pytest

from slipstick.errors import UserError
from slipstick.flow import yosys
from slipstick.flow.handoff.design import TIME_UNIT_PS, HandedDesign
from slipstick.flow.handoff.handoff import hand_off
from slipstick.flow.library.liberty import default_liberty
from slipstick.rtl.cells.registry import cell
from slipstick.rtl.spec.array import ArrayConfig, CellMix
from slipstick.rtl.spec.beats import CONSTANTS, FIELDS
from slipstick.rtl.spec.machine import AcceleratorConfig
from slipstick.rtl.verilog.emit import accelerator_verilog
from slipstick.sim.verilator import find_verilator

CLOCK_MHZ = 80.0


def uniform(rows: int, columns: int, name: str, tile_rows: int = 1, tile_columns: int = 1) -> AcceleratorConfig:
    array = ArrayConfig(rows, columns, CellMix.uniform(cell(name), rows=rows, columns=columns))
    return AcceleratorConfig(array, tile_rows, tile_columns, accumulator_rows=4, depth=4)


CONFIG = uniform(2, 2, "truncated8s_k7", 2, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    text = accelerator_verilog(CONFIG)
    folder = tmp_path_factory.mktemp("handoff")
    files = hand_off(HandedDesign("accelerator", "aclk", CLOCK_MHZ, "ihp-sg13g2", CONFIG), text, folder)
    assert sorted(file.name for file in files) == sorted(file.name for file in folder.iterdir())
    return folder


@pytest.fixture(scope="module")
def mapped(folder):
    (folder / "library.lib").write_text(default_liberty().text)
    done = yosys.run(folder, (folder / "accelerator.ys").read_text(), timeout_s=300)
    assert done.code == 0, done.tail
    return folder


def run(*command, folder, path=None):
    environment = {**os.environ, "PATH": os.pathsep.join(filter(None, (path, os.environ["PATH"])))}
    return subprocess.run(
        [*map(str, command)], cwd=folder, capture_output=True, text=True, timeout=300, env=environment
    )


def test_yosys_maps_the_design_with_its_hierarchy(mapped):
    text = (mapped / "netlist.v").read_text()
    assert {"accelerator", "product_truncated8s_k7"} <= set(re.findall(r"^module (\w+)", text, re.M))
    assert "sg13g2_dfrbp_1" in text and "$_" not in text


@pytest.mark.skipif(shutil.which("sta") is None, reason="OpenSTA (Debian package opensta) is absent")
def test_opensta_reads_netlist_and_constraints_and_reports_path_and_power(mapped):
    log = run("sta", "-no_splash", "-exit", "accelerator.tcl", folder=mapped).stdout
    assert "Error" not in log, log[-1500:]
    period = 1e3 / CLOCK_MHZ
    assert f"{period:.4f}" in log and "data arrival time" in log
    total = re.search(r"^Total +([\d.e+-]+) +([\d.e+-]+) +([\d.e+-]+)", log, re.M)
    assert total
    internal, switching, leakage = map(float, total.groups())
    assert min(internal, switching) > leakage > 0  # the inputs move once in ten cycles, not in ten seconds
    assert internal + switching < 1  # W; nor ten million times a cycle


@pytest.mark.skipif(shutil.which("make") is None, reason="make is absent")
def test_make_reads_the_configuration(folder):
    show = "include config.mk\nall:\n\t@echo $(DESIGN_NAME) $(PLATFORM) $(VERILOG_FILES) $(SDC_FILE)\n"
    (folder / "show.mk").write_text(show)
    done = run("make", "-s", "-f", "show.mk", folder=folder)
    assert done.stdout.split() == ["accelerator", "ihp-sg13g2", "./accelerator.v", "./accelerator.sdc"]
    (folder / "show.mk").unlink()


def test_make_says_so_where_the_verilog_is_missing(folder, tmp_path):
    shutil.copy(folder / "config.mk", tmp_path)
    assert "is not there" in run("make", "-f", "config.mk", folder=tmp_path).stderr


def test_the_bench_passes_in_verilator_and_sees_a_wrong_gate(folder, tmp_path):
    tool = find_verilator()
    environment = {**os.environ, **tool.environment, "MAKEFLAGS": "OPT_FAST=-O0"}
    text = (folder / "accelerator.v").read_text()
    gate = re.findall(r"assign n\d+ = n\d+ \^ n\d+;", text)[-1]
    for number, verilog in enumerate((text, text.replace(gate, gate.replace("^", "&")))):
        place = tmp_path / str(number)
        place.mkdir()
        (place / "accelerator.v").write_text(verilog)
        shutil.copy(folder / "accelerator_tb.sv", place)
        command = [
            tool.executable,
            "--binary",
            "--timing",
            "-Wno-fatal",
            "--top-module",
            "accelerator_tb",
            "-o",
            "bench",
        ]
        subprocess.run(
            [*command, "accelerator_tb.sv", "accelerator.v"],
            cwd=place,
            env=environment,
            check=True,
            capture_output=True,
        )
        done = run(place / "obj_dir" / "bench", folder=place)
        assert (done.returncode == 0, "PASS" in done.stdout) == ((True, True) if number == 0 else (False, False)), done


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog (Debian package iverilog) is absent")
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 2, 1, 1), (3, 2, 3, 2), (2, 9, 1, 3)])
def test_nothing_unknown_leaves_the_design_after_one_clock_of_reset(shape, tmp_path):
    rows, columns, *tile = shape
    config = uniform(rows, columns, "drum8u_k4", *tile)
    design = HandedDesign("mine", "aclk", CLOCK_MHZ, "asap7", config)
    hand_off(design, accelerator_verilog(config, name="mine"), tmp_path)
    built = run("iverilog", "-g2012", "-s", "mine_tb", "-o", "bench", "mine_tb.sv", "mine.v", folder=tmp_path)
    assert built.returncode == 0, built.stderr
    done = run("vvp", "bench", folder=tmp_path)
    assert "PASS" in done.stdout and done.returncode == 0, done.stdout[-500:]


def test_the_limit_of_memories_is_that_of_the_accumulators(folder):
    text = (folder / "config.mk").read_text()
    widths = [CONFIG.array.accumulator_width(column, 4) for column in range(2)]
    assert f"export SYNTH_MEMORY_MAX_BITS = {4 * sum(widths)}\n" in text
    assert re.search(r"# Without SRAM macros they become as many flip-flops, at \d+\.\d um2 each \d+\.\d+ mm2", text)


def test_the_streams_page_says_what_the_code_says(folder):
    page = (folder / "stream.md").read_text()
    for name in (*FIELDS, *CONSTANTS):
        assert f"| {name} " in page
    assert "| compute | 0 |" in page and "| row | 19:8 |" in page and "| address | 31:20 |" in page
    assert "| 0 to 1 | a row of weights" in page and "| 2 to 5 | bias of every column" in page
    assert "| 11 | high of all columns" in page  # behind two rows and 4 + 2 + 1 + 1 + 1 bytes
    assert "I = 1, J = 2" in page and "Here an answer stands at `m_axis` 5 cycles after its beat" in page
    assert "reserved" in page and "``" not in page and "====" not in page


def test_the_config_beside_the_verilog_is_that_of_the_design(folder):
    assert AcceleratorConfig.from_json(json.loads((folder / "accelerator.json").read_text())) == CONFIG


@pytest.mark.skipif(shutil.which("fusesoc") is None, reason="FuseSoC (PyPI: fusesoc) is absent")
@pytest.mark.parametrize("target", ["lint", "sim"])
def test_fusesoc_runs_the_core(folder, tmp_path, target):
    command = ("fusesoc", "--cores-root", folder, "run", "--target", target, "slipstick:generated:accelerator")
    done = run(*command, folder=tmp_path, path=str(find_verilator().executable.parent))
    assert done.returncode == 0 and (target == "lint" or "PASS" in done.stdout + done.stderr), done.stdout + done.stderr


@pytest.mark.parametrize("platform", TIME_UNIT_PS)
def test_the_period_is_in_the_platforms_unit(platform):
    period_ps = HandedDesign("top", "clk", 250.0, platform, CONFIG).period * TIME_UNIT_PS[platform]
    assert period_ps == pytest.approx(4000)


@pytest.mark.parametrize(
    ("top", "clock", "mhz", "platform"),
    [
        ("a b", "clk", 100, "asap7"),
        ("[exec ls]", "clk", 100, "asap7"),
        ("top", "$(shell ls)", 100, "asap7"),
        ("top;", "clk", 100, "asap7"),
        ("top", "clk", 0, "asap7"),
        ("top", "clk", float("nan"), "asap7"),
        ("top", "clk", 100, "tsmc"),
    ],
)
def test_what_other_tools_would_read_as_code_is_refused(top, clock, mhz, platform):
    with pytest.raises(UserError):
        HandedDesign(top, clock, mhz, platform, CONFIG)
