"""Arrays in files that a user gives."""

import struct
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from slipstick.errors import UserError

_BROKEN = (OSError, EOFError, ValueError, TypeError, RuntimeError, MemoryError, struct.error, zlib.error,
           zipfile.BadZipFile)  # fmt: skip


def read_npz(
    path: Path, what: str, names: Iterable[str] | None = None, optional: Iterable[str] = ()
) -> dict[str, np.ndarray]:
    """The arrays ``names`` of an .npz file, or all of them, and the ``optional`` ones it has, without unpickling.

    UserError, naming the file and ``what`` it should have been, for anything else: not there, empty, cut off, a single
    array, without one of the names.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            raise ValueError("a single array, no .npz file")
        with loaded:
            wanted = loaded.files if names is None else [*names]
            missing = [name for name in wanted if name not in loaded.files]
            if missing:
                raise ValueError(f"it lacks the array {missing[0]!r}")
            return {name: loaded[name] for name in (*wanted, *(one for one in optional if one in loaded.files))}
    except _BROKEN as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0] or type(error).__name__
        raise UserError(f"{path}: not {what} ({reason})") from error
