"""Yosys, always in a fresh child process: it ends its process on an error, and what it did before changes what
it does next."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CHILD = """
from pyosys import libyosys
design = libyosys.Design()
for line in open("script.ys"):
    libyosys.run_pass(line.strip(), design)
"""
_LIMIT_MEMORY = "import resource; resource.setrlimit(resource.RLIMIT_AS, (%d, %d))\n"


@dataclass(frozen=True)
class Run:
    """How a run ended: ``code`` is the exit code, or words where the time was up; ``log`` is all it printed."""

    code: int | str
    log: str

    @property
    def tail(self) -> str:
        """The last lines of the log."""
        return "\n".join(self.log.splitlines()[-15:])


def run(folder: Path, script: str, *, timeout_s: float, memory_bytes: int | None = None) -> Run:
    """Run a script, one command a line, with ``folder`` as working directory; results are files there."""
    (folder / "script.ys").write_text(script)
    child = (_LIMIT_MEMORY % (memory_bytes, memory_bytes) if memory_bytes and os.name == "posix" else "") + CHILD
    with (folder / "log").open("w") as log:
        try:
            code: int | str = subprocess.run(
                # TMPDIR: Yosys keeps a copy of every library that it reads there.
                [sys.executable, "-c", child], cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                timeout=timeout_s, check=False, env={**os.environ, "TMPDIR": str(folder)},
            ).returncode  # fmt: skip
        except subprocess.TimeoutExpired:
            code = f"stopped after {timeout_s:g} s"
    return Run(code, (folder / "log").read_text(errors="replace"))
