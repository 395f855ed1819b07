"""Verilog sources before any tool reads them: size, includes, system tasks, names.

The text is untrusted. It is only ever handed to Yosys as files of fixed names in a folder of their own, and the
one word of it that enters a script, the name of the top module, is a plain identifier.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from slipstick.errors import UnknownName, UserError

LARGEST_SOURCE_MB = 20
MODULE_KEYWORDS = ("module", "macromodule")
NOT_PLAIN = "is no plain identifier: letters, digits, _ and $ only"
SYSTEM_FUNCTIONS = {"$signed", "$unsigned", "$clog2", "$bits"}
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")
_TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?(?:\*/|\Z)) | (?P<string>"(?:\\.|[^"\\\n])*") | (?P<escaped>\\\S+)
      | (?P<system>\$[\w$]*) | (?P<directive>`[A-Za-z_]\w*) | (?P<paste>``) | (?P<word>[A-Za-z_][\w$]*)
      | (?P<space>\s+) | (?P<other>.)""",
    re.S | re.X,
)


class Token(NamedTuple):
    """A lexical element: its kind is the name of its group in ``_TOKEN``."""

    kind: str
    text: str
    line: int
    start: int


@dataclass
class Sources:
    """Checked Verilog: ``roots`` are what to read, ``texts`` all files under the names they get, by order met.

    ``origins`` gives the user's file of each name; ``modules`` names all modules, ``words`` counts all words.
    """

    texts: dict[str, str] = field(default_factory=dict)
    origins: dict[str, Path] = field(default_factory=dict)
    roots: list[str] = field(default_factory=list)
    modules: list[str] = field(default_factory=list)
    words: Counter[str] = field(default_factory=Counter)


def load_sources(paths: Sequence[Path]) -> Sources:
    """Read and check Verilog files and what they include; UserError names file, line and fix."""
    sources = Sources()
    for path in paths:
        sources.roots.append(_load(path, path.parent.resolve(), sources, ()))
    if not sources.modules:
        raise UserError(f"{paths[0]} has no module")
    return sources


def choose_top(sources: Sources, top: str | None) -> str:
    """The top module: the given one, or the only one that no other names; UserError lists the modules."""
    if top is None:
        unnamed = [module for module in sources.modules if sources.words[module] == 1]
        if len(unnamed) != 1:
            several = ", ".join((unnamed or sources.modules)[:8])
            raise UserError(f"{sources.origins[sources.roots[0]]} has several modules ({several}); choose with --top")
        return unnamed[0]
    if not _IDENTIFIER.fullmatch(top):
        raise UserError(f"module name {top!r} {NOT_PLAIN}")
    if top not in sources.modules:
        raise UnknownName("module", top, sources.modules)
    return top


def read_text(path: Path) -> str:
    """The text of a source file; UserError unless it is a text file of at most 20 MB."""
    try:
        if not path.is_file():
            raise UserError(f"{path} is {'no regular file' if path.exists() else 'not there'}")
        if path.stat().st_size > LARGEST_SOURCE_MB << 20:
            raise UserError(f"{path} is larger than {LARGEST_SOURCE_MB} MB, the limit for a cell's source")
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    if b"\0" in data:
        raise UserError(f"{path} is not a text file")
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _tokens(text: str) -> Iterator[Token]:
    line = 1
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "other"
        if kind not in ("comment", "space"):
            yield Token(kind, match[0], line, match.start())
        line += match[0].count("\n")


def _load(path: Path, folder: Path, sources: Sources, within: tuple[Path, ...]) -> str:
    """Load one file under a new name, includes first; returns the name."""
    real = path.resolve()
    if real in within:
        raise UserError(f"{path} includes itself")
    text = read_text(path)
    if sum(map(len, sources.texts.values())) + len(text) > LARGEST_SOURCE_MB << 20:
        raise UserError(f"the sources are larger than {LARGEST_SOURCE_MB} MB together, the limit for a cell")
    pieces, copied = [], 0
    for token, following in pairwise([*_tokens(text), Token("end", "", 0, len(text))]):
        where = f"{path}:{token.line}"
        if token.text == "`include":
            if following.kind != "string":
                raise UserError(f"{where}: `include needs a file name in quotes")
            name = _load(_included(following.text[1:-1], path, folder, where), folder, sources, (*within, real))
            pieces += [text[copied : following.start], f'"{name}"']
            copied = following.start + len(following.text)
        _check(token, following, where)
        sources.words[token.text] += token.kind == "word"
        if token.kind == "word" and token.text in MODULE_KEYWORDS:
            sources.modules.append(following.text)
    name = f"source{len(sources.texts)}{'.sv' if path.suffix == '.sv' else '.v'}"
    sources.texts[name], sources.origins[name] = "".join([*pieces, text[copied:]]), path
    return name


def _check(token: Token, following: Token, where: str) -> None:
    if token.kind == "system" and token.text not in SYSTEM_FUNCTIONS:
        raise UserError(
            f"{where}: system task {token.text[:40]!r}; a cell may use only {', '.join(sorted(SYSTEM_FUNCTIONS))}"
        )
    if token.kind == "paste":
        raise UserError(f"{where}: token pasting with `` is not supported")
    if token.kind == "word" and token.text == "import" and following.kind == "string":
        raise UserError(f"{where}: foreign function; a cell must be plain Verilog without import")
    if token.kind == "word" and token.text in MODULE_KEYWORDS and following.kind != "word":
        raise UserError(f"{where}: module name {following.text[:40]!r} {NOT_PLAIN}")


def _included(name: str, path: Path, folder: Path, where: str) -> Path:
    """The file that an include means: beside the including file, and inside the first file's folder."""
    target = path.parent / name
    if not target.resolve().is_relative_to(folder):
        raise UserError(f"{where}: `include {name!r} lies outside {folder}; copy it there")
    if not target.is_file():
        raise UserError(f"{where}: `include {name!r}: no such file beside {path.name}")
    return target
