"""``kernels.cpp`` as a library: compiled once for this CPU, tested against the plain loop, bound by ctypes.

The library stands in the cache under a hash of source, flags, compiler and CPU. ``$SLIPSTICK_KERNELS``
set to ``off`` keeps it away; ``$CXX`` chooses the compiler.
"""

import ctypes
import functools
import os
import platform
import shutil
import subprocess
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipstick.errors import UserError
from slipstick.store import Store, digest

from .selftest import check

VARIABLE = "SLIPSTICK_KERNELS"
FOLDER = Path(__file__).parent
SOURCES = ("kernels.cpp", "common.hpp", "factor.hpp", "table.hpp", "elementwise.hpp")
FLAGS = ("-O3", "-std=c++17", "-shared", "-fPIC", "-pthread")
TUNING: tuple[tuple[str, ...], ...] = (("-march=native",), ("-mcpu=native",), ())  # the first that compiles
COMPILERS = ("c++", "g++", "clang++")
LIBRARY = "kernels.so"


class KernelError(RuntimeError):
    """The kernels cannot be compiled here, or compute something else than the plain loop."""


@dataclass(frozen=True)
class Native:
    """A compiled and tested library and how it was made."""

    library: ctypes.CDLL
    path: Path
    compiler: str
    flags: tuple[str, ...]


def compile_kernels(compiler: str, flags: Sequence[str], folder: Path) -> Path:
    """Compile the source into ``folder``; KernelError with the compiler's words when it refuses."""
    path = folder / LIBRARY
    done = subprocess.run(
        [compiler, *flags, str(FOLDER / SOURCES[0]), "-o", str(path)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        raise KernelError(f"{compiler} {' '.join(flags)}: {done.stderr.strip()[-2000:]}")
    return path


def load(path: Path) -> ctypes.CDLL:
    """Bind a compiled library."""
    library = ctypes.CDLL(str(path))
    pointer: Any = ctypes.c_void_p
    size: Any = ctypes.c_int64
    number: Any = ctypes.c_int
    arguments = {
        "factor_pack": [pointer] * 3 + [size] * 4 + [number],
        "factor_gemm": [pointer] * 4 + [size] * 5 + [number] * 2,
        "table_gemm": [pointer] * 4 + [size, ctypes.c_int32, number, pointer] + [size] * 4 + [number] * 2,
        "quantise": [pointer, ctypes.c_float, number, number, pointer, size, number],
        "requantise": [pointer] * 2 + [number] * 3 + [pointer] + [size] * 2 + [number],
        "scale": [pointer] * 4 + [size] * 2 + [number],
    }
    for name, types in arguments.items():
        function = getattr(library, f"slipstick_{name}")
        function.argtypes, function.restype = types, None
    library.slipstick_use_team.argtypes = [pointer]
    library.slipstick_use_team.restype = None
    library.slipstick_packed_words.argtypes = [size] * 3
    library.slipstick_packed_words.restype = size
    return library


def find_compiler() -> str:
    """``$CXX`` or the first C++ compiler on PATH; KernelError says how to get one."""
    own = os.environ.get("CXX")
    for name in [own] if own else COMPILERS:
        found = shutil.which(name)
        if found:
            return found
    raise KernelError(f"no C++ compiler ({own or ', '.join(COMPILERS)}) on PATH; apt-get install g++")


def build() -> Native:
    """Compile, test and bind, or take what an earlier build of the same source left. KernelError if impossible."""
    compiler = find_compiler()
    sources = [(FOLDER / name).read_text() for name in SOURCES]
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True).stdout
    refusal = KernelError(f"{compiler} compiled nothing")
    for tuning in TUNING:
        flags = (*FLAGS, *tuning)
        key = digest(sources, list(flags), compiler, version, _processor())[:24]
        try:
            with Store("kernels").building(key) as (folder, ready):
                path = folder / LIBRARY if ready else compile_kernels(compiler, flags, folder)
                library = load(path)
                if not ready:
                    check(library)
                library.slipstick_use_team(loaded_team())
                if not ready:
                    check(library)
                return Native(library, path, compiler, flags)
        except (KernelError, OSError, AssertionError) as error:
            refusal = KernelError(f"{compiler} {' '.join(flags)}: {error}")
    raise refusal


def loaded_team() -> int | None:
    """Address of ``GOMP_parallel`` in the OpenMP runtime that torch has loaded; None where it uses another."""
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
        paths = sorted(
            {line.split(maxsplit=5)[5] for line in lines if "libgomp" in line}, key=lambda p: "torch" not in p
        )
        return ctypes.cast(ctypes.CDLL(paths[0]).GOMP_parallel, ctypes.c_void_p).value if paths else None
    except (OSError, AttributeError):
        return None


def _processor() -> str:
    """What this CPU can run: a library compiled for one kind must not meet another through a shared cache."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        features = {line for line in lines if line.startswith(("flags", "Features", "model name"))}
        return platform.machine() + "".join(sorted(features))
    except OSError:
        return f"{platform.machine()} {platform.processor()} {platform.platform()}"


@functools.cache
def native() -> Native | None:
    """The library for this process, or None, after one warning that says what would make products faster."""
    if os.environ.get(VARIABLE, "").lower() in ("off", "0"):
        return None
    try:
        return build()
    except (KernelError, UserError) as error:
        warnings.warn(f"approximate products fall back to plain torch, which is slower: {error}", stacklevel=2)
        return None
