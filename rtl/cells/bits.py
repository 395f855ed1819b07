"""Bit-level building blocks of the families: adders, column compression, signs, leading ones.

Words are lists of bits, least significant first; Python 0 and 1 stand for constant bits.
"""

from collections.abc import Callable

from .netlist import Bit

AnyBit = Bit | int
Columns = list[list[AnyBit]]


def _is_constant(bit: AnyBit, value: int) -> bool:
    return (isinstance(bit, int) and bit == value) or (isinstance(bit, Bit) and bit.node == value)


def full_add(x: AnyBit, y: AnyBit, z: AnyBit) -> tuple[AnyBit, AnyBit]:
    """Sum and carry of three bits; five gates, fewer when a bit is constant."""
    half = x ^ y
    return half ^ z, (x & y) | (half & z)


def ripple_add(x: list[AnyBit], y: list[AnyBit], carry: AnyBit = 0) -> list[AnyBit]:
    """Sum of two words of equal length, modulo 2^length."""
    total = []
    for left, right in zip(x, y, strict=True):
        bit, carry = full_add(left, right, carry)
        total.append(bit)
    return total


def negate_if(word: list[AnyBit], condition: AnyBit) -> list[AnyBit]:
    """Two's complement negation of ``word`` where ``condition`` holds, modulo 2^length."""
    zeros: list[AnyBit] = [0] * len(word)
    return ripple_add([bit ^ condition for bit in word], zeros, condition)


def select(condition: AnyBit, when_one: list[AnyBit], when_zero: list[AnyBit]) -> list[AnyBit]:
    """Bitwise multiplexer."""
    return [zero ^ (condition & (one ^ zero)) for one, zero in zip(when_one, when_zero, strict=True)]


def dadda_add(columns: Columns) -> list[AnyBit]:
    """Sum of weighted columns modulo 2^len(columns): Dadda tree, then a ripple adder.

    Dadda, "Some Schemes for Parallel Multipliers", 1965: each stage reduces only as far as the next
    height of 2, 3, 4, 6, 9, 13 ... needs.
    """
    columns = [[bit for bit in column if not _is_constant(bit, 0)] for column in columns]
    heights = [2]
    while heights[-1] < max(map(len, columns), default=0):
        heights.append(heights[-1] * 3 // 2)
    for height in reversed(heights[:-1]):
        columns = _reduce(columns, height)
    rows = [[column[i] if i < len(column) else 0 for column in columns] for i in (0, 1)]
    return ripple_add(rows[0], rows[1])


def _reduce(columns: Columns, height: int) -> Columns:
    result: Columns = [[] for _ in columns]
    carries: list[AnyBit] = []
    for index, column in enumerate(columns):
        work, carries_out = column + carries, []
        while len(work) > height:
            operands = (work[0], work[1], work[2] if len(work) > height + 1 else 0)
            work = work[3 if len(work) > height + 1 else 2 :]
            bit, carry = full_add(*operands)
            work.append(bit)
            carries_out.append(carry)
        result[index], carries = work, carries_out
    return result


def partial_products(
    a: list[AnyBit], w: list[AnyBit], signed: bool, keep: Callable[[int, int], bool] = lambda i, j: True
) -> Columns:
    """Columns of ``a[i] & w[j]`` with weight 2^(i + j), only where ``keep(i, j)``.

    Signed operands use the modified Baugh-Wooley form: products with exactly one sign bit are
    inverted and two constants are added (Baugh and Wooley, 1973). A dropped inverted product counts
    as the zero it stands for, so the sum never gains an offset of its own.
    """
    width = len(a) + len(w)
    columns: Columns = [[] for _ in range(width)]
    constant = 0
    for i, left in enumerate(a):
        for j, right in enumerate(w):
            inverted = signed and ((i == len(a) - 1) != (j == len(w) - 1))
            if inverted:
                constant -= 1 << (i + j)
            if keep(i, j):
                columns[i + j].append((left & right) ^ 1 if inverted else left & right)
            elif inverted:
                constant += 1 << (i + j)
    add_constant(columns, constant)
    return columns


def add_constant(columns: Columns, value: int) -> None:
    """Add a constant, modulo 2^len(columns), as constant bits of the columns."""
    for index, column in enumerate(columns):
        if (value >> index) & 1:
            column.append(1)


def leading_one(word: list[AnyBit]) -> list[AnyBit]:
    """One-hot position of the most significant one; all zero for a zero word."""
    found: AnyBit = 0
    onehot: list[AnyBit] = [0] * len(word)
    for index in reversed(range(len(word))):
        onehot[index] = word[index] & ~found if isinstance(found, Bit) else word[index]
        found = found | word[index]
    return onehot


def any_of(word: list[AnyBit]) -> AnyBit:
    """OR of all bits."""
    result: AnyBit = 0
    for bit in word:
        result = result | bit
    return result


def sign_magnitude(
    product: Callable[[list[AnyBit], list[AnyBit]], list[AnyBit]],
) -> Callable[[list[AnyBit], list[AnyBit]], list[AnyBit]]:
    """Wrap an unsigned product for two's complement operands: magnitudes in, signed product out.

    The magnitude of -2^(n-1) is 2^(n-1), which the n unsigned bits hold: no operand is undefined.
    """

    def signed_product(a: list[AnyBit], w: list[AnyBit]) -> list[AnyBit]:
        magnitude = product(negate_if(list(a), a[-1]), negate_if(list(w), w[-1]))
        return negate_if(magnitude, a[-1] ^ w[-1])

    return signed_product
