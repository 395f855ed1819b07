"""Files that are whole or not there, JSON that a user gives, and locks between processes."""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from slipstick.errors import UserError


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file, then move it to ``path`` in one step.

    A link stays, and what it leads to is written. Into a device or a pipe the bytes are copied.
    Raises UserError when the folder cannot be written; ``path`` is never half-written.
    """
    try:
        target, into = _target(path), _is_stream(path)
        if not into:
            target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=None if into else target.parent, prefix=f".{target.name}.") as folder:
            temporary = Path(folder) / target.name
            write(temporary)
            if into:
                with temporary.open("rb") as source, path.open("wb") as sink:
                    shutil.copyfileobj(source, sink)
            else:
                temporary.replace(target)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def _target(path: Path) -> Path:
    """Where links lead; OSError for those that lead to themselves."""
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return target


def _is_stream(path: Path) -> bool:
    """Whether a path leads to a device, a pipe or a socket, which no file may take the place of."""
    return path.exists() and not path.is_file() and not path.is_dir()


def write_text(path: Path, text: str) -> None:
    """``write_whole`` for a text, in UTF-8."""
    write_whole(path, lambda file: file.write_text(text, encoding="utf-8"))


def check_writable(path: Path) -> None:
    """UserError unless ``write_whole`` could write ``path``: told before something slow, not after it."""
    try:
        target = _target(path)
        if target.is_dir():
            raise UserError(f"cannot write {path}: it is a folder; name a file")
        if _is_stream(path):
            if not os.access(path, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}."):
            pass
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def parse_json(text: str | bytes, what: str) -> Any:
    """The value of a JSON text; UserError, beginning with ``what``, for one that is none or that no number holds."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise UserError(f"{what}: not JSON that can be read (nested too deep)") from error
    except ValueError as error:  # also of bytes that are no UTF-8, and of integers of thousands of digits
        raise UserError(f"{what}: not JSON ({error})") from error


def read_json(path: Path) -> Any:
    """``parse_json`` of a file; UserError, naming it, where it cannot be read."""
    try:
        return parse_json(path.read_bytes(), str(path))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error


@contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[None]:
    """Hold the lock file ``path`` against other processes; OSError where it cannot be made.

    Without ``wait``, BlockingIOError where another process holds it.
    """
    with path.open("w") as lock:
        with suppress(ImportError):  # Windows: processes that write at once are on their own
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
