"""Hashes of Slipstick's own code, for keys of kept results: what has changed since is computed anew."""

import re
from functools import cache
from pathlib import Path

from slipstick.store import digest

ROOT = Path(__file__).parent
DECIDE_NOTHING = {"slipstick", "slipstick.errors", "slipstick.files", "slipstick.store", "slipstick.sources"}
"""Modules that keep, hash or refuse, and compute no value."""
_FOR_TYPES = re.compile(r"^if TYPE_CHECKING:\n(?:(?: +.*)?\n)+", re.M)
_COMMENT = re.compile(r"#.*")
_FROM = re.compile(r"^ *from +([.\w]+) +import +(?:\(([^)]*)\)|([^\n(]*))", re.M)
_IMPORT = re.compile(r"^ *import +([^\n]*)", re.M)


@cache
def code_digest(*modules: str) -> str:
    """SHA-256 of the sources of modules of Slipstick and of all of it that they import; see ``modules_behind``."""
    return digest([(name, _read(name)[0]) for name in modules_behind(*modules)])


def modules_behind(*modules: str) -> list[str]:
    """Modules of Slipstick that decide what the given ones compute: they, and all that they import, directly or not.

    Imports within functions count, those for type checkers alone do not. KeyError for a name that is no such module.
    """
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found and name not in DECIDE_NOTHING:
            found.add(name)
            waiting += _read(name)[1]
    return sorted(found)


@cache
def _read(module: str) -> tuple[str, tuple[str, ...]]:
    """Hash of a module's source, and the modules of Slipstick that it imports, with the packages around them."""
    path = _source(module)
    if path is None:
        raise KeyError(module)
    text = path.read_text(encoding="utf-8")
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    names = [module]
    for match in _FROM.finditer(_FOR_TYPES.sub("", _COMMENT.sub("", text))):
        dots = len(match[1]) - len(match[1].lstrip("."))
        base = [*(package[: len(package) - dots + 1] if dots else []), *match[1][dots:].split(".")]
        origin = ".".join(filter(None, base))
        names += [origin, *(f"{origin}.{word}" for word in _first_words(match[2] or match[3]))]
    for match in _IMPORT.finditer(text):
        names += _first_words(match[1])
    around = {name.rsplit(".", cut)[0] for name in names for cut in range(name.count(".") + 1)}
    return digest(text), tuple(sorted(name for name in around if _source(name)))


def _first_words(listed: str) -> list[str]:
    """The names of ``a as x, b.c``."""
    return [part.split()[0] for part in listed.split(",") if part.split()]


@cache
def _source(module: str) -> Path | None:
    """The file of a module of Slipstick, None for anything else."""
    first, *parts = module.split(".")
    if first != "slipstick" or not all(part.isidentifier() for part in parts):
        return None
    places = (ROOT.joinpath(*parts[:-1], f"{parts[-1]}.py") if parts else ROOT, ROOT.joinpath(*parts, "__init__.py"))
    return next((path for path in places if path.is_file()), None)
