"""Simulators are built and run in folders of any name: make and the shell never see it."""

import sys
from collections.abc import Callable
from pathlib import Path

import cocotb_tools.config
import pytest

from slipstick.errors import UserError
from slipstick.rtl.spec.machine import AcceleratorConfig
from slipstick.sim import compile as compiling
from slipstick.sim import verilator
from slipstick.sim.cosim import cosimulate
from slipstick.sim.runner import SimulationError, build
from slipstick.sim.vectors import GemmJob

ODD = "we ird 'it' \"q\" $HOME #1 %s & é ; (a) *[b]"


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    folder = tmp_path / ODD / ("long" * 50)
    folder.mkdir(parents=True)
    return folder


@pytest.mark.slow
def test_cache_tools_and_outputs_may_lie_anywhere(
    odd: Path, monkeypatch: pytest.MonkeyPatch, config: AcceleratorConfig, make_job: Callable[..., GemmJob]
) -> None:
    job = make_job("tiny", 2, 3, 4)
    monkeypatch.setenv("SLIPSTICK_CACHE", str(odd / "cache"))
    for name in ("libs_dir", "share_dir"):  # as where the whole environment lies in such a folder
        (odd / name).symlink_to(getattr(cocotb_tools.config, name))
        monkeypatch.setattr(cocotb_tools.config, name, odd / name)
    (odd / "ccache").symlink_to(Path(sys.executable).parent / "ccache")
    monkeypatch.setattr(verilator, "_compiler_cache", lambda: odd / "ccache")
    assert cosimulate(config, [job], seed=1, workdir=odd / "work").mismatches == 0


def test_the_users_verilator_may_lie_anywhere_and_his_flags_of_make_do_no_harm(
    odd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = verilator.find_verilator().executable
    own = odd / "own verilator"
    own.write_text(f'#!/bin/sh\nexec "{launcher}" "$@"\n')
    own.chmod(0o755)
    monkeypatch.setenv("SLIPSTICK_VERILATOR", str(own))
    monkeypatch.setattr(verilator, "_version", lambda path: (5, 48))
    for name, value in {"MAKEFLAGS": "--no-such-option", "VM_TRACE": "1", "OPT_FAST": "-fno-such-flag"}.items():
        monkeypatch.setenv(name, value)
    built = build({"top.v": "module top(input a, output b); assign b = ~a; endmodule\n"}, "top")
    assert (built.folder / "top").stat().st_mode & 0o100


def test_temporary_folders_of_odd_names_are_passed_over(odd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling.tempfile, "tempdir", str(odd))
    assert compiling.plain_folder() in (Path("/tmp"), Path("/var/tmp"))
    monkeypatch.setattr(compiling.os, "access", lambda *_: False)
    with pytest.raises(UserError, match="set TMPDIR to one of letters and digits"):
        compiling.plain_folder()


def test_a_refused_text_names_its_log(odd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPSTICK_CACHE", str(odd))
    with pytest.raises(SimulationError, match=r"verilator failed; the end of .*\.log:\n(.|\n)*no such thing"):
        build({"top.v": "no such thing"}, "top")
