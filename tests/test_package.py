"""The package as a whole: one name a module, documented examples, wheel contents."""

import doctest
import importlib
import pkgutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import slipstick

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted(
    m.name for m in pkgutil.walk_packages(slipstick.__path__, "slipstick.") if not m.name.endswith("__main__")
)


@pytest.mark.parametrize("name", MODULES)
def test_modules_import_and_say_what_they_are_for(name: str) -> None:
    if name.endswith("bench_accelerator"):
        pytest.skip("a cocotb bench: it runs inside the simulator")
    module = importlib.import_module(name)
    assert module.__doc__
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("folder", ["rtl", "model", "sim", "flow"])
def test_folders_refuse_to_be_imported_under_their_bare_names(folder: str) -> None:
    command = [sys.executable, "-c", f"import {folder}"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert f"import slipstick.{folder}, not {folder}" in result.stderr


@pytest.mark.slow
def test_the_wheel_holds_every_tracked_file_of_the_four_folders(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        held = {name for name in wheel.namelist() if name.startswith("slipstick/")}
    listed = subprocess.run(
        ["git", "ls-files", "rtl", "model", "sim", "flow"], cwd=ROOT, capture_output=True, text=True
    )
    tracked = {f"slipstick/{name}" for name in listed.stdout.split()}
    assert tracked - held == set()
