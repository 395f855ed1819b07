"""Cells that once lay beside the cache, moved to where a user's data belongs."""

import json
import warnings
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path

from slipstick.errors import Notice, UserError
from slipstick.files import locked, write_whole
from slipstick.store import cache_root


def former_folder() -> Path:
    """Where cells without ``$SLIPSTICK_CELLS`` were kept before: the folder ``slipstick-cells`` beside the cache."""
    return cache_root().parent / "slipstick-cells"


def move_into(folder: Path) -> None:
    """Move every file of the former folder into ``folder``; warns of what moved, and of what could not.

    Nothing is overwritten: where both folders have a cell of one name and the two differ, the former one goes by the
    next free ``<name>_<number>``. A file leaves its old place only when it is whole at the new one.
    """
    former, said = former_folder(), []
    try:
        if not former.is_dir() or not any(former.iterdir()):
            return
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / ".lock"):
            for file in sorted(path for path in former.iterdir() if path.is_file()):
                name = _move(file, folder)
                said.append(file.name if name in (None, file.name) else f"{file.name} as {name}")
        if not any(former.iterdir()):
            former.rmdir()
    except FileNotFoundError:  # another process has moved them
        pass
    except (OSError, UserError) as error:
        warnings.warn(f"some cells stay in {former} and are found there: {error}", Notice, stacklevel=4)
    if said:
        warnings.warn(f"cells moved from {former} to {folder}: {', '.join(said)}", Notice, stacklevel=4)


def _move(file: Path, folder: Path) -> str | None:
    """Bring one file into ``folder``; its name there, None where the same file stood there before."""
    data = file.read_bytes()
    for name, content in _candidates(file.name, data):
        target = folder / name
        if not target.exists():
            write_whole(target, partial(Path.write_bytes, data=content))
            file.unlink()
            return name
        if target.is_file() and target.read_bytes() == content:
            break
    file.unlink()
    return None


def _candidates(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """Names that a file can take, each with its content: a cell's file says its name itself."""
    yield name, data
    stem, _, ending = name.partition(".")
    for number in count(2):
        own = f"{stem[:58]}_{number}"
        try:
            yield f"{own}.{ending}", (json.dumps({**json.loads(data), "name": own}) + "\n").encode()
        except (ValueError, TypeError, RecursionError):  # no cell: its name is in no way part of it
            yield f"{own}.{ending}", data
