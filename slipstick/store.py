"""Results of slow tools, kept under a hash of everything that decides them."""

import atexit
import errno
import hashlib
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from slipstick.errors import Notice, UserError
from slipstick.files import locked, write_text, write_whole


def cache_root() -> Path:
    """``$SLIPSTICK_CACHE``, else ``$XDG_CACHE_HOME/slipstick``, else ``~/.cache/slipstick``.

    Without a home folder it is a temporary one of this process, after a warning.
    """
    own = os.environ.get("SLIPSTICK_CACHE")
    try:
        folder = Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "slipstick"
    except RuntimeError:
        _tell("unwritable", "there is no home folder: results are not kept; SLIPSTICK_CACHE names a folder for them")
        return _homeless()
    return folder.absolute()  # tools work in folders of their own


def data_root() -> Path:
    """Where a user's own data is kept on this platform, such as ``$XDG_DATA_HOME/slipstick``: no cleaner empties it."""
    return platformdirs.user_data_path("slipstick", appauthor=False)


@contextmanager
def caches_of_tools() -> Iterator[None]:
    """Inside, tools whose own caches lie below the home folder (ccache, wasmtime) find one that can be written.

    They stop where they cannot write theirs. Where the user's can be written, nothing changes.
    """
    before = os.environ.get("XDG_CACHE_HOME")
    try:
        _check_room(Path(before) if before else Path.home() / ".cache")
    except (OSError, RuntimeError):
        os.environ["XDG_CACHE_HOME"] = str(_homeless())
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("XDG_CACHE_HOME", None)
        else:
            os.environ["XDG_CACHE_HOME"] = before


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


class Store:
    """Folder of JSON results and of build folders for one kind of work, under the cache root.

    What is kept is checked when it is read: what was cut off, changed or written by another version is made again.
    Where nothing can be kept (read-only, full, in the way), the work goes on and the process keeps its own results.
    Either is told once, by a ``Notice``.
    """

    def __init__(self, kind: str, root: Path | None = None) -> None:
        self.folder = (root or cache_root()) / kind

    def get(self, key: str) -> Any:
        """The JSON value kept under ``key``; None where there is none that is whole."""
        return json.loads(self._text(key) or "null")

    def json(self, key: str, compute: Callable[[], Any]) -> Any:
        """The JSON value kept under ``key``, computed once."""
        text = self._text(key)
        if text is not None:
            return json.loads(text)
        value = compute()
        self.put(key, value)
        return value

    def put(self, key: str, value: Any) -> None:
        """Keep a JSON value under ``key``: in a file, or in this process where no file can be written."""
        path, text = self._path(key), json.dumps(value)
        try:
            write_whole(path, lambda file: file.write_bytes(_sealed(text, key)))
        except UserError as error:
            _unsaved[path] = text
            _tell("unwritable", f"{error}; results are not kept in the cache")

    @contextmanager
    def building(self, key: str) -> Iterator[tuple[Path, bool]]:
        """Yield ``(folder, ready)``; when not ready, fill the folder: it is kept only if no error is raised.

        Where the cache has no room, the folder is a temporary one that lives as long as the process.
        """
        folder = self.folder / key
        if self._is_whole(folder):
            yield folder, True
            return
        with ExitStack() as stack:
            try:
                _check_room(self.folder)
                stack.enter_context(locked(self.folder / f".{key}.lock"))  # another process may be filling the folder
                ready = self._is_whole(folder)
                if not ready:
                    _remove(folder)
                    folder.mkdir()
            except OSError as error:
                _tell("unwritable", f"cannot write {folder}: {error.strerror or error}; builds are not kept")
                ready = folder in _temporary
                folder = _temporary[folder] if ready else _temporary_folder()
            if ready:
                yield folder, True
                return
            try:
                yield folder, False
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            if folder.parent == self.folder:
                with suppress(UserError):  # a folder without its list is made again by the next process
                    write_text(folder / _LIST, json.dumps(_contents(folder)))
            else:
                _temporary[self.folder / key] = folder

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.json"

    def _text(self, key: str) -> str | None:
        path = self._path(key)
        if path in _unsaved:
            return _unsaved[path]
        try:
            data = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            self._tell_damaged(path, f"cannot be read ({error.strerror or error})")
            return None
        text = _opened(data, key)
        if text is None:
            self._tell_damaged(path, "is damaged or of another version")
        return text

    def _is_whole(self, folder: Path) -> bool:
        """Whether a build is there and holds what was built."""
        try:
            kept = (folder / _LIST).read_text()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except (OSError, UnicodeDecodeError):
            kept = ""
        try:
            listed = json.loads(kept or "null")
            whole = bool(listed) and listed.items() <= _contents(folder).items()
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            whole = False
        if not whole:
            self._tell_damaged(folder, "is damaged or of another version")
        return whole

    def _tell_damaged(self, path: Path, problem: str) -> None:
        _tell(f"damaged {self.folder}", f"{path} {problem}: what is so in {self.folder} is made again")


_LIST = ".contents.json"
_ROOM_BYTES = 64 << 20
"""Free space below which a cache counts as full: a simulator's build takes tens of megabytes."""
_unsaved: dict[Path, str] = {}
_temporary: dict[Path, Path] = {}
_told: set[str] = set()


def _tell(what: str, message: str) -> None:
    """Warn, once a process and ``what``."""
    if what not in _told:
        _told.add(what)
        warnings.warn(message, Notice, stacklevel=2)


def _sealed(text: str, key: str) -> bytes:
    """A JSON document of a value's text and the checksum that ``_opened`` wants to see."""
    checksum = hashlib.sha256(f"{key}\n{text}".encode()).hexdigest()
    return f'{{"sha256": "{checksum}", "value": {text}}}\n'.encode()


def _opened(data: bytes, key: str) -> str | None:
    """The text that was sealed under ``key``; None where these are not the bytes."""
    head, tail = len(f'{{"sha256": "{"0" * 64}", "value": '), len("}\n")
    try:
        text = data[head:-tail].decode()
    except UnicodeDecodeError:
        return None
    return text if data == _sealed(text, key) else None


def _contents(folder: Path) -> dict[str, str]:
    """Checksum of every file of a build by its path, and where links lead; OSError for a link that leads nowhere."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = f"-> {path.readlink()} of {path.stat().st_size} bytes"
        elif path.is_file() and name != _LIST:
            with path.open("rb") as stream:
                found[name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found


def _check_room(folder: Path) -> None:
    """OSError unless tens of megabytes can be written below ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as probe:
        probe.write(bytes(1 << 20))  # a quota shows only then
    if shutil.disk_usage(folder).free < _ROOM_BYTES:
        raise OSError(errno.ENOSPC, f"less than {_ROOM_BYTES >> 20} MiB are free")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _temporary_folder() -> Path:
    """A folder that lives as long as this process."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="slipstick-"))
    except OSError as error:
        raise UserError(f"cannot write temporary files: {error.strerror or error}; set TMPDIR") from error
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


_homeless = cache(_temporary_folder)
