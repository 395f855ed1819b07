"""Recursive multipliers from an underdesigned 2 x 2 block.

Kulkarni, Gupta and Ercegovac, "Trading Accuracy for Power with an Underdesigned Multiplier
Architecture", VLSI Design 2011: the block is exact but for 3 x 3 = 7, which saves its fourth bit.
"""

from .bits import Word, on_magnitudes
from .columns import Columns, dadda_add, multiply
from .registry import Sizes, complements, family

POWERS = Sizes("operands of equal width, 4, 8 or 16 bits", lambda wa, ww: wa == ww and wa in (4, 8, 16))


def _block(a: Word, w: Word) -> Word:
    return [a[0] & w[0], (a[1] & w[0]) | (a[0] & w[1]), a[1] & w[1], 0]


def _product(a: Word, w: Word, exact: int = 0) -> Word:
    if len(a) == 2:
        return _block(a, w)
    half = len(a) // 2
    columns: Columns = [[] for _ in range(2 * len(a))]
    quarters = (
        (0, a[:half], w[:half]), (half, a[half:], w[:half]), (half, a[:half], w[half:]), (2 * half, a[half:], w[half:])
    )  # fmt: skip
    for place, (shift, left, right) in enumerate(quarters):
        quarter = multiply(left, right) if place > 3 - exact else _product(left, right)
        for index, bit in enumerate(quarter):
            columns[index + shift].append(bit)
    return dadda_add(columns)


@family(POWERS, x=lambda s: (0, 1, 3), o=complements)
@on_magnitudes
def recursive(a: Word, w: Word, *, x: int) -> Word:
    """Four half-size products, summed exactly, down to the 2 x 2 block.

    ``x`` of the four are exact: none, the most significant one, or all but the least significant one.
    Kulkarni, Gupta and Ercegovac, "Trading Accuracy for Power with an Underdesigned Multiplier
    Architecture", VLSI Design 2011.
    """
    return _product(a, w, x)


recursive.register(x=(0, 1, 3))
recursive.register(signed=True, o=1)
