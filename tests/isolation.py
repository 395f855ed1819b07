"""Tests see nothing of the user's: no cells, no cache, no home folder, no variable that changes what they do.

``isolate`` runs before Slipstick, torch or any tool is loaded, and child processes inherit what it leaves.
"""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOR_TESTS = "SLIPSTICK_TEST_"
"""Variables that are for the tests: LIBERTY and EVOAPPROX name folders of further data, CACHE that of the cache."""
_PREFIXES = ("SLIPSTICK_", "XDG_", "CCACHE_", "COCOTB_", "VERILATOR_", "VM_", "GPI_", "HF_", "MPL", "OPTUNA_")
_NAMES = {
    "FORCE_COLOR", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "LINES", "TERMINAL_WIDTH", "MAKEFLAGS",
    "MFLAGS", "OBJCACHE", "TORCH_HOME", "TORCH_EXTENSIONS_DIR", "TOPLEVEL", "MODULE", "TESTCASE", "RANDOM_SEED",
}  # fmt: skip


def isolate() -> Callable[[], None]:
    """Change this process's environment, and return what removes the temporary home folder.

    Results of compilers and syntheses are kept under hashes of all that decides them, from one run of the tests to
    the next, in ``.nox/test-cache``; where that cannot be written, for this run alone.
    """
    home = Path(tempfile.mkdtemp(prefix="slipstick-tests-"))
    cache = _writable(Path(os.environ.get(f"{FOR_TESTS}CACHE") or ROOT / ".nox" / "test-cache")) or home / "cache"
    for name in list(os.environ):
        if name in _NAMES or (name.startswith(_PREFIXES) and not name.startswith(FOR_TESTS)):
            del os.environ[name]
    os.environ["HOME"] = str(home)
    os.environ["SLIPSTICK_CACHE"] = str(cache / "slipstick")
    os.environ["CCACHE_DIR"] = str(cache / "ccache")
    os.environ["MPLCONFIGDIR"] = str(cache / "matplotlib")  # its list of fonts takes seconds to make
    return lambda: shutil.rmtree(home, ignore_errors=True)


def _writable(folder: Path) -> Path | None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder.resolve()
    except OSError:
        return None
