"""Every file of a hand-off, tried with the tool that reads it where that tool is at hand."""

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
from slipstick.rtl.emit import accelerator_verilog
from slipstick.rtl.spec.array import ArrayConfig, CellMix

CLOCK_MHZ = 80.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    mix = CellMix.uniform(cell("truncated8s_k7"), rows=2, columns=2)
    text = accelerator_verilog(ArrayConfig(2, 2, mix), accumulator_rows=4, depth=4)
    folder = tmp_path_factory.mktemp("handoff")
    files = hand_off(HandedDesign("accelerator", "aclk", CLOCK_MHZ, "ihp-sg13g2"), text, folder)
    assert sorted(file.name for file in files) == sorted(file.name for file in folder.iterdir())
    return folder


@pytest.fixture(scope="module")
def mapped(folder):
    (folder / "library.lib").write_text(default_liberty().text)
    done = yosys.run(folder, (folder / "accelerator.ys").read_text(), timeout_s=300)
    assert done.code == 0, done.tail
    return folder


def run(*command, folder):
    return subprocess.run([*map(str, command)], cwd=folder, capture_output=True, text=True, timeout=300)


def test_yosys_maps_the_design_with_its_hierarchy(mapped):
    text = (mapped / "netlist.v").read_text()
    assert {"accelerator", "mul_truncated8s_k7"} <= set(re.findall(r"^module (\w+)", text, re.M))
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


@pytest.mark.skipif(shutil.which("fusesoc") is None, reason="FuseSoC (PyPI: fusesoc) is absent")
def test_fusesoc_knows_the_core(folder):
    done = run("fusesoc", "--cores-root", folder, "core", "show", "slipstick:generated:accelerator", folder=folder)
    assert done.returncode == 0 and "lint" in done.stdout, done.stderr


@pytest.mark.parametrize("platform", TIME_UNIT_PS)
def test_the_period_is_in_the_platforms_unit(platform):
    period_ps = HandedDesign("top", "clk", 250.0, platform).period * TIME_UNIT_PS[platform]
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
        HandedDesign(top, clock, mhz, platform)
