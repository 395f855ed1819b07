"""Which encoders reuse attention: families of patterns, all of them increasing tuples of encoder numbers.

The *stride* of a family is the difference between the numbers of neighbouring reuse encoders, so {1, 3, 5, 7} has
stride 2 and a run has stride 1. (Fig. 6a of TReX calls {1, 3, 5, 7} SL = 1, the encoders left between, Fig. 5a calls
four of nine SL = 2; the numbers of starts in its text agree with SL = stride - 1.) Encoder 0 never reuses.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from slipstick.errors import UserError

Pattern = tuple[int, ...]


@dataclass(frozen=True)
class Named:
    """A pattern and where it comes from, such as ``strided stride=2 start=1``."""

    name: str
    blocks: Pattern


def strided(encoders: int, reuse: int, stride: int) -> Iterator[Pattern]:
    """``reuse`` encoders at equal distances of ``stride``, from every start that fits."""
    for start in range(1, encoders - stride * (reuse - 1)):
        yield tuple(range(start, start + stride * reuse, stride))


def continuous(encoders: int, reuse: int) -> Iterator[Pattern]:
    """``reuse`` consecutive encoders, from every start that fits."""
    return strided(encoders, reuse, 1)


def pyramid(encoders: int, reuse: int, stride: int, run: int) -> Iterator[Pattern]:
    """A run of ``run`` consecutive encoders amid single ones at distances of ``stride``, from every start that fits.

    Of the single ones half lie before the run, and where their number is odd one more behind it.
    """
    before = (reuse - run) // 2
    steps = [stride] * before + [1] * (run - 1) + [stride] * (reuse - run - before)
    for start in range(1, encoders - sum(steps)):
        yield tuple(int(start + step) for step in np.cumsum([0, *steps]))


def families(encoders: int, reuse: int) -> list[Named]:
    """Every pattern of every family once: strided by falling stride, pyramids, then continuous ones.

    Later starts come first. Raises UserError when so many encoders cannot reuse attention.
    """
    if not 1 <= reuse < encoders:
        raise UserError(f"{reuse} of {encoders} encoders cannot reuse attention; 1 to {encoders - 1} can")
    found: dict[Pattern, str] = {}

    def add(family: str, patterns: Iterator[Pattern]) -> None:
        for pattern in reversed(list(patterns)):
            found.setdefault(pattern, f"{family} start={pattern[0]}")

    widest = encoders - 1 if reuse == 1 else (encoders - 2) // (reuse - 1)
    for stride in range(1 if reuse == 1 else widest, 1, -1):
        add(f"strided stride={stride}", strided(encoders, reuse, stride))
    for stride in range(widest, 1, -1):
        for run in range(2, reuse - 1):  # with a single encoder at either end
            add(f"pyramid stride={stride} run={run}", pyramid(encoders, reuse, stride, run))
    add("single" if reuse == 1 else "continuous", continuous(encoders, reuse))
    return [Named(name, pattern) for pattern, name in found.items()]


def random_patterns(encoders: int, reuse: int, count: int, seed: int) -> list[Named]:
    """At most ``count`` different patterns, all equally likely: the baseline of a search over families."""
    if not 1 <= reuse < encoders:
        raise UserError(f"{reuse} of {encoders} encoders cannot reuse attention; 1 to {encoders - 1} can")
    total = comb(encoders - 1, reuse)
    rng = np.random.default_rng(seed)
    if total <= 1 << 16:
        every = list(combinations(range(1, encoders), reuse))
        chosen = [every[i] for i in rng.permutation(total)[:count]]
    else:
        drawn: dict[Pattern, None] = {}
        while len(drawn) < min(count, total):
            drawn[tuple(sorted(int(i) + 1 for i in rng.choice(encoders - 1, reuse, replace=False)))] = None
        chosen = list(drawn)
    return [Named(f"random {number}", pattern) for number, pattern in enumerate(chosen)]
