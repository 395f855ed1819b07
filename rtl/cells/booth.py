"""Radix-4 Booth recoding: rows of -2, -1, 0, 1 or 2 times a for every two bits of w.

Digit i of w is d = w[2i-1] + w[2i] - 2 w[2i+1]; ``one`` says |d| = 1, ``two`` |d| = 2. A row is a
two's complement word of len(a) + 1 bits (one more for unsigned operands), inverted where d < 0, and
one bit that completes the negation.
"""

from collections.abc import Callable
from dataclasses import dataclass

from .bits import AnyBit, Word
from .columns import Columns, add_constant


@dataclass(frozen=True)
class Digit:
    """One Booth digit: the three bits of w that it reads, and their recoding."""

    high: AnyBit
    middle: AnyBit
    low: AnyBit

    @property
    def one(self) -> AnyBit:
        """Whether the digit is 1 or -1."""
        return self.middle ^ self.low

    @property
    def two(self) -> AnyBit:
        """Whether the digit is 2 or -2."""
        return (self.one ^ 1) & (self.high ^ self.middle)

    @property
    def negative(self) -> AnyBit:
        """Whether the digit is -1 or -2."""
        return self.high & ((self.middle & self.low) ^ 1)


Select = Callable[[Digit, AnyBit, AnyBit], AnyBit]  # digit, a[j], a[j - 1] -> bit j of the row


def exact_bit(digit: Digit, bit: AnyBit, below: AnyBit) -> AnyBit:
    """Bit j of digit * a, before the bit that completes a negation."""
    return (digit.one & (digit.high ^ bit)) | (digit.two & (digit.high ^ below))


def digits(w: Word, signed: bool) -> list[Digit]:
    """The Booth digits of w, least significant first."""
    top = w[-1] if signed else 0
    count = (len(w) + 1) // 2 if signed else len(w) // 2 + 1
    padded = [0, *w, top, top]
    return [Digit(padded[2 * i + 2], padded[2 * i + 1], padded[2 * i]) for i in range(count)]


def booth_products(
    a: Word,
    w: Word,
    signed: bool,
    select: Callable[[int], Select] = lambda column: exact_bit,
    place: Callable[[int], int | None] = lambda column: column,
    first: int = 0,
    more: int = 0,
) -> Columns:
    """Columns of the Booth rows of ``a * w`` from digit ``first`` on, and ``more`` above the product's own.

    ``select(column)`` makes the bits of a column, which go to the column ``place(column)`` or nowhere
    where that is None. The columns above the product show whether the sum leaves its range.
    """
    columns: Columns = [[] for _ in range(len(a) + len(w) + more)]
    extended = [*a, a[-1]] if signed else [*a, 0, 0]
    sign = len(extended) - 1
    constant = 0

    def put(column: int, bit: AnyBit, counts: int = 1) -> None:
        nonlocal constant
        target = place(column)
        if target is None:
            return
        if target < len(columns):
            columns[target].append(bit if counts > 0 else bit ^ 1)
        constant -= (counts < 0) << target

    for index, digit in enumerate(digits(w, signed)[first:], first):
        for j, bit in enumerate(extended):
            value = select(2 * index + j)(digit, bit, extended[j - 1] if j else 0)
            put(2 * index + j, value, -1 if j == sign else 1)
        put(2 * index, digit.negative)
    add_constant(columns, constant)
    return columns
