"""Verilog to an executable, in a folder whose path make and the shell can read.

Verilator's makefiles know no quotes: a blank, a quote or a ``$`` in any path ends the build. So it runs in a temporary
folder of a plain name, where links stand for the tools, and only the executable goes where the caller wants it.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import cocotb_tools.config

from slipstick.errors import UserError

from .verilator import Verilator

MAKE_FLAGS = ("OPT_FAST=-O2",)  # hot code only: optimising the constructors costs minutes and gains nothing
QUICK_FLAGS = ("OPT_FAST=-O0", "OPT_SLOW=-O0", "VM_PARALLEL_BUILDS=0")  # in one file, whose headers are read once
MAIN = "simulator_main.cpp"  # cocotb's
COMPILER_VARIABLES = ("CPPFLAGS", "CXXFLAGS", "LDFLAGS", "LDLIBS")
"""Variables of the user's that a build heeds, for compilers and libraries in unusual places."""
_IGNORED = re.compile(r"VERILATOR_ROOT|MAKEFLAGS|MFLAGS|MAKELEVEL|MAKEOVERRIDES|OPT|OPT_\w+|VM_\w+|USER_\w+FLAGS|LIBS")
_PLAIN = re.compile(r"[\w./+-]+", re.ASCII)


class SimulationError(RuntimeError):
    """A simulation could not be built, or stopped in another way than its bench intends."""


def compile_simulator(
    tool: Verilator,
    flags: Sequence[str],
    top: str,
    sources: Mapping[str, str],
    control: str,
    target: Path,
    log: Path,
    *,
    alone: bool = False,
) -> None:
    """Write the executable of module ``top`` to ``target``; what the tools say goes to ``log``.

    ``alone``: without cocotb, and compiled quickly in place of running quickly. Raises SimulationError with the end
    of the log when a tool refuses the text.
    """
    with tempfile.TemporaryDirectory(prefix="slipstick-build-", dir=plain_folder()) as name:
        folder = Path(name)
        for file, text in {**sources, "control.vlt": control, "link.rsp": _link_options()}.items():
            (folder / file).write_text(text)
        own = ("--main",) if alone else ("-LDFLAGS", "@link.rsp", MAIN)
        if not alone:
            shutil.copy(cocotb_tools.config.share_dir / "lib" / "verilator" / "verilator.cpp", folder / MAIN)
        if tool.executable.parent.name == "bin":
            (folder / "verilator").symlink_to(tool.executable.parents[1])
        else:
            (folder / "verilator").mkdir()
            (folder / "verilator" / "bin").symlink_to(tool.executable.parent)
        (folder / "python3").symlink_to(sys.executable)
        environment = {key: value for key, value in os.environ.items() if not _IGNORED.fullmatch(key)}
        if tool.ccache:
            (folder / "ccache").symlink_to(tool.ccache)
            environment |= {"OBJCACHE": str(folder / "ccache"), "CCACHE_NOHASHDIR": "1", "CCACHE_BASEDIR": name}
        command = [
            str(folder / "verilator" / "bin" / tool.executable.name), *flags, "-Mdir", ".", "--top-module", top,
            "-o", top, *own, "control.vlt", *sources,
        ]  # fmt: skip
        _execute(command, folder, environment, log)
        jobs = str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
        make_flags = [f"VM_TRACE={int('--trace-vcd' in flags)}", f"PYTHON3={folder / 'python3'}"]
        make_flags += QUICK_FLAGS if alone else MAKE_FLAGS
        _execute(["make", "-j", jobs, "-f", "Vtop.mk", *make_flags], folder, environment, log)
        shutil.copy(folder / top, target)


@cache
def compiler_identity() -> list[str]:
    """The C++ compiler that Verilator's makefiles call, for hash keys."""
    done = subprocess.run(["c++", "--version"], capture_output=True, text=True)
    return [str(shutil.which("c++")), done.stdout]


def plain_folder() -> Path:
    """A folder for temporary files whose path needs no quotes; UserError where there is none."""
    for place in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        if _PLAIN.fullmatch(place) and os.access(place, os.W_OK | os.X_OK):
            return Path(place)
    raise UserError(f"{tempfile.gettempdir()} is a path that make cannot read; set TMPDIR to one of letters and digits")


def _link_options() -> str:
    """A response file that links cocotb's library from wherever it lies."""
    library = re.sub(r"([^\w./-])", r"\\\1", str(cocotb_tools.config.libs_dir))
    return f"-Xlinker -rpath -Xlinker {library} -L{library} -lcocotbvpi_verilator\n"


def _execute(command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path) -> None:
    with log.open("w") as file:
        code = subprocess.run(
            command, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        ).returncode
    if code:
        raise SimulationError(f"{Path(command[0]).name} failed; the end of {log}:\n{tail(log)}")


def tail(log: Path, lines: int = 20) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else "(no log)"
