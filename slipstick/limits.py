"""Limits of numbers that a user gives, stated once and checked before anything slow starts."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from textwrap import shorten

from .errors import UserError

_DIGITS = 20
"""More than any limit has."""


@dataclass(frozen=True)
class Limits:
    """A finite number from ``least`` to ``most``; with ``above`` and ``below`` not these ends themselves."""

    least: float
    most: float
    above: bool = False
    below: bool = False

    def check(self, name: str, value: float) -> None:
        """UserError, naming ``name`` and what is allowed, unless ``value`` lies within."""
        enough = value > self.least if self.above else value >= self.least
        few = value < self.most if self.below else value <= self.most
        if not (math.isfinite(value) and enough and few):
            raise UserError(f"{name} {value}: must be {self}")

    def __str__(self) -> str:
        if not (self.above or self.below):
            return f"from {self.least:g} to {self.most:.10g}"
        start, end = "above" if self.above else "at least", "below" if self.below else "at most"
        return f"{start} {self.least:g} and {end} {self.most:.10g}"


def whole_number(text: str, name: str, limits: Limits) -> int:
    """The whole number that a text states in decimal digits, with a sign or not.

    UserError, beginning with ``name``, for another text and for a number outside ``limits``.
    """
    text = text.strip()
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise UserError(f"{name} {shorten(repr(text), 60)}: not a whole number")
    if len(text) > _DIGITS:
        raise UserError(f"{name} {text[:_DIGITS]}...: must be {limits}")
    limits.check(name, int(text))
    return int(text)


def whole_numbers(text: str, name: str, limits: Limits) -> tuple[int, ...]:
    """``whole_number`` of every part of a list with commas; UserError where there is none."""
    parts = [part for part in text.split(",") if part.strip()]
    if not parts:
        raise UserError(f"{name} {text!r}: no list of whole numbers; give for example {name} 3,5")
    return tuple(whole_number(part, name, limits) for part in parts)


def check_fields(config: object, limits: Mapping[str, Limits], form: Callable[[str], str] = str) -> None:
    """UserError unless every one of a configuration's fields lies within its limits, or is None.

    ``form`` makes of a field's name what the user knows it by.
    """
    for name, one in limits.items():
        value = getattr(config, name)
        if value is not None:
            one.check(form(name), value)


COUNT = Limits(1, 10**9)
"""Of images, steps, trials: anything of which none would be nothing."""
SEED = Limits(0, 2**32 - 1)
"""What every generator in use takes."""
SIDE = Limits(1, 1024)
"""Rows and columns of an array."""
CLOCK_MHZ = Limits(0, 100_000, above=True)
LOSS = Limits(0, 100, above=True)
"""Points of top-1; no number of images confirms that nothing at all is lost."""
SHARE = Limits(0, 1)
PART = Limits(0, 1, below=True)
"""A share that is never the whole."""
PLACE = Limits(0, 9999)
"""Of an encoder or block, of which every model has fewer; the model's own number is looked at once it is loaded."""
STEPS = Limits(0, 10**9)
"""Of what may also be left out."""
POSITIVE = Limits(0, 1e12, above=True)
NOT_NEGATIVE = Limits(0, 1e12)
