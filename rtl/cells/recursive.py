"""Recursive multipliers from an underdesigned 2 x 2 block.

Kulkarni, Gupta and Ercegovac, "Trading Accuracy for Power with an Underdesigned Multiplier
Architecture", VLSI Design 2011: the block is exact but for 3 x 3 = 7, which saves its fourth bit.
"""

from .bits import AnyBit, dadda_add, sign_magnitude
from .netlist import BitFunction
from .registry import register


def _block(a: list[AnyBit], w: list[AnyBit]) -> list[AnyBit]:
    return [a[0] & w[0], (a[1] & w[0]) | (a[0] & w[1]), a[1] & w[1], 0]


def _product(a: list[AnyBit], w: list[AnyBit]) -> list[AnyBit]:
    if len(a) == 2:
        return _block(a, w)
    half = len(a) // 2
    columns: list[list[AnyBit]] = [[] for _ in range(2 * len(a))]
    for shift, left, right in (
        (0, a[:half], w[:half]), (half, a[half:], w[:half]), (half, a[:half], w[half:]), (2 * half, a[half:], w[half:])
    ):  # fmt: skip
        for index, bit in enumerate(_product(left, right)):
            columns[index + shift].append(bit)
    return dadda_add(columns)


def recursive(*, width: int, signed: bool) -> BitFunction:
    """Four half-size products, summed exactly, down to the 2 x 2 block; ``width`` a power of two."""
    return sign_magnitude(_product) if signed else _product


register("recursive", recursive, signed=True)
register("recursive", recursive, signed=False)
