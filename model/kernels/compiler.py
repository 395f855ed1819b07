"""C++ files as shared libraries: compiled once for this CPU into the cache, tested before they are kept.

A library stands in the cache under a hash of sources, flags, compiler and CPU. ``$CXX`` chooses the compiler.
"""

import ctypes
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from slipstick.store import Store, digest

FLAGS = ("-O3", "-std=c++17", "-shared", "-fPIC", "-pthread")
TUNING: tuple[tuple[str, ...], ...] = (("-march=native",), ("-mcpu=native",), ())  # the first that compiles
COMPILERS = ("c++", "g++", "clang++")
LIBRARY = "kernels.so"


class KernelError(RuntimeError):
    """A library cannot be compiled here, or computes something else than its plain reading."""


@dataclass(frozen=True)
class Native:
    """A compiled and tested library and how it was made."""

    library: ctypes.CDLL
    path: Path
    compiler: str
    flags: tuple[str, ...]


def find_compiler() -> str:
    """``$CXX`` or the first C++ compiler on PATH; KernelError says how to get one."""
    own = os.environ.get("CXX")
    for name in [own] if own else COMPILERS:
        found = shutil.which(name)
        if found:
            return found
    raise KernelError(f"no C++ compiler ({own or ', '.join(COMPILERS)}) on PATH; apt-get install g++")


def compile_library(compiler: str, flags: Sequence[str], source: Path, folder: Path) -> Path:
    """Compile one file into ``folder``; KernelError with the compiler's words when it refuses."""
    path = folder / LIBRARY
    done = subprocess.run(
        [compiler, *flags, str(source), "-o", str(path)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        raise KernelError(f"{compiler} {' '.join(flags)}: {done.stderr.strip()[-2000:]}")
    return path


def build_library(
    kind: str,
    sources: Sequence[Path],
    compile_into: Callable[[str, Sequence[str], Path], Path],
    use: Callable[[Path, bool], ctypes.CDLL],
) -> Native:
    """Compile, test and bind, or take what an earlier build of the same sources left; KernelError if impossible.

    ``kind`` names the folder of the cache. ``compile_into(compiler, flags, folder)`` makes the library;
    ``use(path, new)`` binds it, and raises AssertionError where a new one computes something wrong.
    """
    compiler = find_compiler()
    texts = [path.read_text() for path in sources]
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True).stdout
    refusal = KernelError(f"{compiler} compiled nothing")
    for tuning in TUNING:
        flags = (*FLAGS, *tuning)
        key = digest(texts, list(flags), compiler, version, _processor())[:24]
        try:
            with Store(kind).building(key) as (folder, ready):
                path = folder / LIBRARY if ready else compile_into(compiler, flags, folder)
                return Native(use(path, not ready), path, compiler, flags)
        except (KernelError, OSError, AssertionError) as error:
            refusal = KernelError(f"{compiler} {' '.join(flags)}: {error}")
    raise refusal


def _processor() -> str:
    """What this CPU can run: a library compiled for one kind must not meet another through a shared cache."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        features = {line for line in lines if line.startswith(("flags", "Features", "model name"))}
        return platform.machine() + "".join(sorted(features))
    except OSError:
        return f"{platform.machine()} {platform.processor()} {platform.platform()}"
