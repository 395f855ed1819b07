"""The suite gives the same answers whatever the user has made, set or locked."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from slipstick.rtl.cells import Cell, build, library
from slipstick.store import cache_root, data_root

ROOT = Path(__file__).parents[1]
READERS = (  # read the list of cells, the cache and the variables of tools
    "tests/rtl/cells/test_registry.py", "tests/rtl/cells/test_library.py", "tests/sim/test_verilator.py",
    "tests/flow/commands/test_cells.py::test_the_same_file_twice_needs_force_and_a_shipped_name_is_taken",
)  # fmt: skip


def test_home_data_and_cache_are_the_tests_own() -> None:
    home = Path(os.environ["HOME"])
    assert home.name.startswith("slipstick-tests-") and Path.home() == home and data_root().is_relative_to(home)
    assert cache_root().is_relative_to(home) or cache_root().parent.name == "test-cache" or _named(cache_root())
    assert [n for n in os.environ if n.startswith(("SLIPSTICK_", "XDG_")) and "_TEST_" not in n] == [
        "SLIPSTICK_CACHE", library.VARIABLE,
    ]  # fmt: skip


def _named(cache: Path) -> bool:
    return str(cache.parent) == os.environ.get("SLIPSTICK_TEST_CACHE")


def test_a_users_cells_variables_and_locked_cache_change_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    for folder in (home / ".local/share/slipstick/cells", home / ".cache/slipstick-cells", tmp_path / "cells"):
        folder.mkdir(parents=True)
        monkeypatch.setenv(library.VARIABLE, str(folder))
        for name in ("mine8s", "mine8u", "mine4s"):
            library.save(Cell(name, "imported", "s" in name[4:], build("exact", width=int(name[4])).netlist), {})
        (folder / "broken8s.json").write_text("{")
    (home / ".cache" / "slipstick").write_text("no folder, so that nothing can be written here")
    hostile = {
        "HOME": str(home), "SLIPSTICK_CELLS": str(tmp_path / "cells"), "SLIPSTICK_CACHE": "/dev/null/cache",
        "SLIPSTICK_VERILATOR": "/nowhere/verilator", "SLIPSTICK_KERNELS": "off", "XDG_CACHE_HOME": "/dev/null",
        "XDG_DATA_HOME": str(home / ".local/share"), "XDG_CONFIG_HOME": "/dev/null", "COLUMNS": "20",
        "CCACHE_DIR": "/dev/null/ccache", "MAKEFLAGS": "--no-such-option", "VERILATOR_ROOT": "/nowhere",
        "FORCE_COLOR": "1", "COCOTB_TEST_FILTER": "none", "HF_HOME": "/dev/null", "OBJCACHE": "/nowhere/ccache",
    }  # fmt: skip
    before = sorted(path for path in tmp_path.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *READERS], cwd=ROOT, text=True,
        capture_output=True, env={**os.environ, **hostile},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert sorted(path for path in tmp_path.rglob("*")) == before
