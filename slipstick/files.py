"""Files that are whole or not there, and locks between processes."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from slipstick.errors import UserError


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file, then move it to ``path`` in one step.

    Raises UserError when the folder cannot be written; ``path`` is never half-written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
            temporary = Path(folder) / path.name
            write(temporary)
            temporary.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def write_text(path: Path, text: str) -> None:
    """``write_whole`` for a text, in UTF-8."""
    write_whole(path, lambda file: file.write_text(text, encoding="utf-8"))


def check_writable(path: Path) -> None:
    """UserError unless ``write_whole`` could write ``path``: told before something slow, not after it."""
    if path.is_dir():
        raise UserError(f"cannot write {path}: it is a folder; name a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}."):
            pass
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


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
