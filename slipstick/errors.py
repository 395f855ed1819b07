"""The errors a user can cause: shown as one line, exit code 2, never a traceback."""

import difflib
import sys
import warnings
from collections.abc import Callable, Iterable
from typing import Any


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


class Notice(UserWarning):
    """Something that the user should know and that stops nothing; the command line shows it as one line."""


def show_notices_plainly() -> None:
    """From now on a ``Notice`` is one line on standard error, without the place in the code that gave it."""
    if not isinstance(warnings.showwarning, _Plainly):
        warnings.showwarning = _Plainly(warnings.showwarning)


class _Plainly:
    """Shows a ``Notice`` as one line, and every other warning as before."""

    def __init__(self, before: Callable[..., None]) -> None:
        self.before = before

    def __call__(self, message: Warning | str, category: type[Warning], *place: Any, **options: Any) -> None:
        if issubclass(category, Notice):
            print(f"slipstick: warning: {message}", file=sys.stderr)
        else:
            self.before(message, category, *place, **options)
