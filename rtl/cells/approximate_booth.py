"""Families that simplify radix-4 Booth rows in their low columns.

Published for signed operands. Booth rows have signs of their own, so an unsigned product may come out
below zero, where an unsigned word would wrap to its largest values; it ends at the nearer end instead.
"""

from collections.abc import Callable

from .array_multipliers import CONSTANT, VARIABLE
from .bits import AnyBit, Word, gated
from .booth import Digit, Select, booth_products, digits, exact_bit
from .columns import Columns, add_constant, dadda_add
from .registry import family


def _without_two(digit: Digit, bit: AnyBit, below: AnyBit) -> AnyBit:
    return digit.one & (digit.high ^ bit)


def _sign_only(digit: Digit, bit: AnyBit, below: AnyBit) -> AnyBit:
    return digit.high ^ bit


def _sum(signed: bool, columns: Callable[[int], Columns]) -> Word:
    """Sum of ``columns(more)``; unsigned sums outside the range of the product end at its nearer end."""
    if signed:
        return dadda_add(columns(0))
    *product, above, below = dadda_add(columns(2))
    over = above & (below ^ 1)
    return gated([bit | over for bit in product], below ^ 1)


@family(e=lambda s: range(1, 3), p=lambda s: range(1, s.wa + 1))
def approximate_booth(a: Word, w: Word, *, signed: bool, e: int, p: int) -> Word:
    """Simplify how the row bits of the ``p`` lowest columns are selected; encoder ``e`` 1 or 2.

    Liu et al., "Design of Approximate Radix-4 Booth Multipliers for Error-Tolerant Computing", TC
    2017: R4ABM1 leaves out the digits 2 and -2 (4 of 32 entries change), R4ABM2 inverts by the sign
    and selects nothing (8 of 32).
    """
    simple: Select = (_without_two, _sign_only)[e - 1]

    def select(column: int) -> Select:
        return simple if column < p else exact_bit

    return _sum(signed, lambda more: booth_products(a, w, signed, select, more=more))


@family(h=lambda s: range(s.ww // 2), v=lambda s: range(s.wa + s.ww - 1), c=lambda s: range(3))
def broken_booth(a: Word, w: Word, *, signed: bool, h: int, v: int, c: int) -> Word:
    """Drop the ``h`` lowest Booth rows and every bit, also of negations, in the ``v`` lowest columns.

    Columns: Farshchi, Abrishami and Fakhraie, "New Approximate Multiplier for Low Power Digital Signal
    Processing", CADS 2013. Rows: Leon et al., "Walking Through the Energy-Error Pareto Frontier of
    Approximate Multipliers", IEEE Micro 2018 (perforation); the next digit rounds w to the nearest
    multiple of 4^h. Corrections ``c`` as of ``truncated``: 1 adds the mean that the columns lose, 3/8 of
    2^v in each row that they cut below its sign, rounded to the lowest kept column; 2 adds the bits of
    column v - 1 once more in column v, the idea of Jou, Tsai and Tsai, "Low-Error Reduced-Width Booth
    Multipliers for DSP Applications", TCAS-I 2003.
    """

    def place(column: int) -> int | None:
        return v if c == VARIABLE and column == v - 1 else column if column >= v else None

    def columns(more: int) -> Columns:
        kept = booth_products(a, w, signed, place=place, first=h, more=more)
        if c == CONSTANT:
            cut = sum(2 * row < v <= 2 * row + len(a) for row in range(h, len(digits(w, signed))))
            add_constant(kept, round(cut * 3 / 8) << v)
        return kept

    return _sum(signed, columns)


for _e in (1, 2):
    approximate_booth.register(e=_e, p=(4, 5, 6, 7, 8))
broken_booth.register(v=range(3, 9))
broken_booth.register(v=range(3, 9), c=(CONSTANT, VARIABLE))
broken_booth.register(h=(1, 2))
for _h, _v in ((1, range(5, 11)), (2, range(7, 12))):  # from 2 h + 9 on, the next row is dropped anyway
    broken_booth.register(h=_h, v=_v, c=CONSTANT)
    broken_booth.register(h=_h, v=_v[1:4], c=VARIABLE)
