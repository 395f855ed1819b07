"""The file of a study: one process at a time, damaged tails cut off, failed writes told in one line."""

import json
import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from slipstick.errors import Notice, UserError
from slipstick.files import locked, write_whole

LOST_SUFFIX = ".lost"


@contextmanager
def open_journal(path: Path) -> Iterator[JournalStorage]:
    """The storage of the study in ``path``, made or repaired, held by this process alone.

    A ``Notice`` tells what a repair lost. Raises UserError when another process searches there, when the file
    cannot be read or written, and when it holds something else; what was written before stays.
    """
    with _alone(path):
        try:
            repair(path)
            stale = path.with_name(path.name + ".lock")  # of a process killed while it wrote
            stale.unlink(missing_ok=True)
            storage = JournalStorage(_Backend(str(path)))
        except OSError as error:
            raise _unwritable(path, error) from error
        except (KeyError, ValueError, TypeError, AssertionError) as error:
            raise UserError(f"{path}: not the journal of a study ({error!r}); move it away") from error
        yield storage


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(path.with_name(path.name + ".process"), wait=False))
        except BlockingIOError:
            raise UserError(f"{path}: another search is running on it; give another --out") from None
        except OSError as error:
            raise _unwritable(path, error) from error
        yield


def _unwritable(path: Path, error: OSError) -> UserError:
    return UserError(f"cannot write the study {path}: {error.strerror or error}; trials that it holds are kept")


class _Backend(JournalFileBackend):
    """Optuna's, whose failed writes are a user's to mend."""

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        try:
            super().append_logs(logs)
        except OSError as error:
            raise _unwritable(Path(self._file_path), error) from error


def repair(path: Path) -> None:
    """Keep the records before the first damaged one, in ``path``; a ``Notice`` tells what was lost.

    A record is a line of JSON; those after a damaged one count from it, so they go too, into a file beside.
    """
    if not path.exists():
        return
    data = path.read_bytes()
    kept = 0
    while kept < len(data):
        end = data.find(b"\n", kept)
        if end < 0 or not _is_record(data[kept:end]):
            break
        kept = end + 1
    if kept == len(data):
        return
    lost = data[kept:]
    if _is_record(lost):  # whole but for its end
        with path.open("ab") as file:
            file.write(b"\n")
        return
    further = lost.count(b"\n") - lost.endswith(b"\n")
    beside = path.with_name(path.name + LOST_SUFFIX)
    if further or not kept:
        write_whole(beside, lambda file: file.write_bytes(lost))
    os.truncate(path, kept)
    whole = data[:kept].count(b"\n")
    where = f" (moved to {beside})" if further or not kept else ""
    after = f" and {further} after it" if further else ""
    line = (
        f"damaged at record {whole + 1}; that one{after} are lost{where}; {whole} are kept"
        if further
        else f"record {whole + 1} was cut short and is lost{where}; {whole} are kept"
    )
    warnings.warn(f"{path}: {line}", Notice, stacklevel=2)


def _is_record(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
