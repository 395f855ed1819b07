"""The errors a user can cause: shown as one line, exit code 2, never a traceback."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user gave is wrong; the message says what, and what would work."""


class UnknownName(UserError):
    """A name that no registry knows; the message shows near names."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=4, cutoff=0.4) or names[:6]
        super().__init__(f"unknown {kind} {name!r}; near names: {', '.join(near) or 'none'}")


class ToolNotFound(UserError):
    """An external tool is missing or too old; the message says how to get it."""
