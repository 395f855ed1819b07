"""``kernels.cpp`` as a library: compiled once for this CPU, tested against the plain loop, bound by ctypes.

``$SLIPSTICK_KERNELS`` set to ``off`` keeps it away.
"""

import ctypes
import functools
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slipstick.errors import UserError

from .compiler import KernelError, Native, build_library, compile_library
from .selftest import check

VARIABLE = "SLIPSTICK_KERNELS"
FOLDER = Path(__file__).parent
SOURCES = ("kernels.cpp", *sorted(path.name for path in FOLDER.glob("*.hpp")))


def compile_kernels(compiler: str, flags: Sequence[str], folder: Path) -> Path:
    """Compile the source into ``folder``; KernelError with the compiler's words when it refuses."""
    return compile_library(compiler, flags, FOLDER / SOURCES[0], folder)


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
        "look_up": [pointer] * 3 + [number] + [size] * 2 + [pointer] * 2 + [number],
        "look_up_gradients": [pointer] * 4 + [ctypes.c_float, number] + [size] * 3 + [pointer] * 2 + [number],
        "conditional_sum": [pointer] * 2 + [size] * 3 + [pointer, number],
        "conditional_gradients": [pointer] * 3 + [size] * 3 + [pointer] * 2 + [number],
        "compare": [pointer] * 3 + [size] * 3 + [number],
        "window": [pointer] * 7 + [size] * 3 + [number],
    }
    for name, types in arguments.items():
        function = getattr(library, f"slipstick_{name}")
        function.argtypes, function.restype = types, None
    library.slipstick_quantise.restype = number
    library.slipstick_use_team.argtypes = [pointer]
    library.slipstick_use_team.restype = None
    library.slipstick_packed_words.argtypes = [size] * 3
    library.slipstick_packed_words.restype = size
    library.slipstick_hash.argtypes, library.slipstick_hash.restype = [pointer, size, number], ctypes.c_uint64
    return library


def build() -> Native:
    """Compile, test and bind, or take what an earlier build of the same source left. KernelError if impossible."""
    return build_library("kernels", [FOLDER / name for name in SOURCES], compile_kernels, _use)


def _use(path: Path, new: bool) -> ctypes.CDLL:
    library = load(path)
    if new:
        check(library)
    library.slipstick_use_team(loaded_team())
    if new:
        check(library)
    return library


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


@functools.cache
def native() -> Native | None:
    """The library for this process, or None, after one warning that says what would make products faster."""
    if os.environ.get(VARIABLE, "").lower() in ("off", "0"):
        return None
    try:
        return build()
    except (KernelError, UserError) as error:
        warnings.warn(
            f"approximate products and look-up tables fall back to plain torch, which is slower: {error}", stacklevel=2
        )
        return None
