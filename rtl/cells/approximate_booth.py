"""Families that simplify radix-4 Booth rows in their low columns.

Published for signed operands. Booth rows have signs of their own, so a small unsigned product may
come out below zero, where an unsigned word would wrap to its largest values: there it is zero.
"""

from collections.abc import Callable

from .bits import AnyBit, Word, gated
from .booth import Digit, Select, booth_products, exact_bit
from .columns import dadda_add
from .registry import family


def _without_two(digit: Digit, bit: AnyBit, below: AnyBit) -> AnyBit:
    return digit.one & (digit.high ^ bit)


def _sign_only(digit: Digit, bit: AnyBit, below: AnyBit) -> AnyBit:
    return digit.high ^ bit


def _sum(a: Word, w: Word, signed: bool, select: Callable[[int], Select | None]) -> Word:
    if signed:
        return dadda_add(booth_products(a, w, signed, select))
    total = dadda_add(booth_products(a, w, signed, select, more=1))
    return gated(total[:-1], total[-1] ^ 1)


@family(e=lambda s: range(1, 3), p=lambda s: range(1, s.wa + 1))
def approximate_booth(a: Word, w: Word, *, signed: bool, e: int, p: int) -> Word:
    """Simplify how the row bits of the ``p`` lowest columns are selected; encoder ``e`` 1 or 2.

    Liu et al., "Design of Approximate Radix-4 Booth Multipliers for Error-Tolerant Computing", TC
    2017: R4ABM1 leaves out the digits 2 and -2 (4 of 32 entries change), R4ABM2 inverts by the sign
    and selects nothing (8 of 32).
    """
    simple: Select = (_without_two, _sign_only)[e - 1]
    return _sum(a, w, signed, lambda column: simple if column < p else exact_bit)


@family(v=lambda s: range(1, s.wa + 1))
def broken_booth(a: Word, w: Word, *, signed: bool, v: int) -> Word:
    """Drop every bit of the Booth rows in the ``v`` lowest columns, those that complete a negation too.

    Farshchi, Abrishami and Fakhraie, "New Approximate Multiplier for Low Power Digital Signal
    Processing", CADS 2013.
    """
    return _sum(a, w, signed, lambda column: exact_bit if column >= v else None)


for _e in (1, 2):
    approximate_booth.register(e=_e, p=(4, 5, 6, 7, 8))
broken_booth.register(v=(3, 4, 5, 6, 7, 8))
