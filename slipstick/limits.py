"""Limits of numbers that a user gives, stated once and checked before anything slow starts."""

import math
from dataclasses import dataclass

from .errors import UserError


@dataclass(frozen=True)
class Limits:
    """A finite number from ``least`` to ``most``; with ``above``, ``least`` itself is not allowed."""

    least: float
    most: float
    above: bool = False

    def check(self, name: str, value: float) -> None:
        """UserError, naming ``name`` and what is allowed, unless ``value`` lies within."""
        enough = value > self.least if self.above else value >= self.least
        if not (math.isfinite(value) and enough and value <= self.most):
            raise UserError(f"{name} {value}: must be {self}")

    def __str__(self) -> str:
        start = f"above {self.least:g} and at most" if self.above else f"from {self.least:g} to"
        return f"{start} {self.most:.10g}"


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
POSITIVE = Limits(0, 1e12, above=True)
NOT_NEGATIVE = Limits(0, 1e12)
