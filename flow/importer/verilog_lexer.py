"""The text of source files, and the lexical elements of Verilog."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from slipstick.errors import UserError

LARGEST_SOURCE_MB = 20
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

    @property
    def end(self) -> int:
        """Where the next element starts, at the earliest."""
        return self.start + len(self.text)


def read_text(path: Path) -> str:
    """The text of a source file, without a byte order mark, lines ended by a line feed.

    UserError unless it is a text file of at most 20 MB.
    """
    try:
        if not path.is_file():
            raise UserError(f"{path} is {'no regular file' if path.exists() else 'not there'}")
        if path.stat().st_size > LARGEST_SOURCE_MB << 20:
            raise UserError(f"{path} is larger than {LARGEST_SOURCE_MB} MB, the limit for a cell's source")
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    if b"\0" in data:
        raise UserError(f"{path} is not a text file of ASCII or UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def tokens(text: str) -> Iterator[Token]:
    """Elements in order, without comments and blanks."""
    line = 1
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "other"
        if kind not in ("comment", "space"):
            yield Token(kind, match[0], line, match.start())
        line += match[0].count("\n")
