"""Results of slow tools, kept under a hash of everything that decides them."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from slipstick.errors import UserError

try:
    import fcntl
except ImportError:  # Windows: two first builds at once are on their own
    fcntl = None  # type: ignore[assignment]


def cache_root() -> Path:
    """``$SLIPSTICK_CACHE``, else ``$XDG_CACHE_HOME/slipstick``, else ``~/.cache/slipstick``."""
    own = os.environ.get("SLIPSTICK_CACHE")
    folder = Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "slipstick"
    return folder.absolute()  # tools work in folders of their own


def data_root() -> Path:
    """Where a user's own data is kept on this platform, such as ``$XDG_DATA_HOME/slipstick``: no cleaner empties it."""
    return platformdirs.user_data_path("slipstick", appauthor=False)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file ``path`` against other processes; OSError where it cannot be made."""
    with path.open("w") as lock:
        if fcntl:
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def digest(*parts: Any) -> str:
    """SHA-256 of JSON-like parts, bytes and NumPy arrays, in hexadecimal."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            text = f"{part.dtype}{part.shape}".encode() + np.ascontiguousarray(part).tobytes()
        else:
            text = part if isinstance(part, bytes) else json.dumps(part, sort_keys=True).encode()
        total.update(len(text).to_bytes(8, "little") + text)
    return total.hexdigest()


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


class Store:
    """Folder of JSON results and of build folders for one kind of work, under the cache root."""

    def __init__(self, kind: str, root: Path | None = None) -> None:
        self.folder = (root or cache_root()) / kind

    def get(self, key: str) -> Any:
        """The JSON value kept under ``key``; None where there is none."""
        path = self.folder / f"{key}.json"
        return json.loads(path.read_text()) if path.exists() else None

    def json(self, key: str, compute: Callable[[], Any]) -> Any:
        """The JSON value kept under ``key``, computed once."""
        path = self.folder / f"{key}.json"
        if path.exists():
            return json.loads(path.read_text())
        value = compute()
        write_text(path, json.dumps(value))
        return value

    @contextmanager
    def building(self, key: str) -> Iterator[tuple[Path, bool]]:
        """Yield ``(folder, ready)``; when not ready, fill the folder: it is kept only if no error is raised."""
        folder = self.folder / key
        done = folder / ".complete"
        if done.exists():
            yield folder, True
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / f".{key}.lock").open("w")
        except OSError as error:
            raise UserError(f"cannot write {folder}: {error.strerror or error}") from error
        with lock:
            if fcntl:
                fcntl.flock(lock, fcntl.LOCK_EX)  # another process may be filling the same folder
            if done.exists():
                yield folder, True
                return
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            try:
                yield folder, False
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            done.write_text("")
