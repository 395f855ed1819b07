"""Families that add partial products with approximate 4:2 compressors in the ``k`` lowest columns.

A compressor turns four bits of a column into a sum bit that stays and a carry for the next column.
That holds three at most, so four ones never fit; designs differ in what else they give up. All sit in
the same tree: Dadda's, with stages of 2, 4, 8 ... bits a column; exact full and half adders where
fewer than four bits are left to merge, and in the columns from ``k`` on. The publications draw their
trees for unsigned operands of 8 bits; where they place an adder else, sums differ by that.
"""

from collections.abc import Callable

from .bits import AnyBit, Word, full_add, is_zero, ripple_add
from .columns import Columns, partial_products, reduce_column, two_rows, without_zeros
from .registry import Family, Sizes, family

WIDE = Sizes("operands of 4 to 16 bits", lambda wa, ww: min(wa, ww) >= 4)

Compressor = Callable[[AnyBit, AnyBit, AnyBit, AnyBit], tuple[Word, Word]]
"""Four bits of a column to the bits that stay and the carries."""


def momeni(x: AnyBit, y: AnyBit, z: AnyBit, t: AnyBit) -> tuple[Word, Word]:
    """Momeni et al., "Design and Analysis of Approximate Compressors for Multiplication", TC 2015, design 2.

    Wrong for 0000, 0011, 1100 and 1111: the first makes products with zero operands non-zero.
    """
    return [(x ^ y ^ 1) | (z ^ t ^ 1)], [(x | y) & (z | t)]


def yang(x: AnyBit, y: AnyBit, z: AnyBit, t: AnyBit) -> tuple[Word, Word]:
    """Yang, Han and Lombardi, "Approximate Compressors for Error-Resilient Multiplier Design", DFTS 2015.

    Design 1: wrong only for four ones, which count as three.
    """
    first, second = x & y, z & t
    odd = (x ^ y) ^ (z ^ t)
    return [odd | (first & second)], [first | second | ((x ^ y) & (z ^ t))]


def venkatachalam(x: AnyBit, y: AnyBit, z: AnyBit, t: AnyBit) -> tuple[Word, Word]:
    """Venkatachalam and Ko, "Design of Power and Area Efficient Approximate Multipliers", TVLSI 2017.

    Two ones that are not in the same pair count as one, four as three.
    """
    first, second = x & y, z & t
    return [(x ^ y) | (z ^ t) | (first & second)], [first | second]


def ha(x: AnyBit, y: AnyBit, z: AnyBit, t: AnyBit) -> tuple[Word, Word]:
    """Ha and Lee, "Multipliers With Approximate 4-2 Compressors and Error Recovery Modules", ESL 2018.

    A full adder of x, y and z OR t: one too few where z and t are both one. Without error recovery.
    """
    bit, carry = full_add(x, y, z | t)
    return [bit], [carry]


def strollo(x: AnyBit, y: AnyBit, z: AnyBit, t: AnyBit) -> tuple[Word, Word]:
    """Strollo et al., "Comparison and Extension of Approximate 4-2 Compressors", TCAS-I 2020.

    A stack of x, y and z without its rarest term, then a full adder: one too few where all three are.
    """
    bit, carry = full_add(x | y, z | (x & y), t)
    return [bit], [carry]


def sabetzadeh(x: AnyBit, y: AnyBit, z: AnyBit, t: AnyBit) -> tuple[Word, Word]:
    """Sabetzadeh, Moaiyeri and Ahmadinejad, "A Majority-Based Imprecise Multiplier", TCAS-I 2019.

    The sum is always one, the carry the majority of x, z and t; y is not read.
    """
    return [1], [(t & (x | z)) | (x & z)]


def esposito(x: AnyBit, y: AnyBit, z: AnyBit, t: AnyBit) -> tuple[Word, Word]:
    """Esposito et al., "Approximate Multipliers Based on New Approximate Compressors", TCAS-I 2018.

    Both results keep the weight of the inputs: exact up to two ones, and two for more.
    """
    return [z | t | (x & y), x | y | (z & t)], []


def _add(columns: Columns, compress: Compressor, k: int) -> Word:
    columns = without_zeros(columns)
    height = 2
    while 2 * height < max(map(len, columns), default=0):
        height *= 2
    while height >= 2:
        result: Columns = [[] for _ in columns]
        carries: Word = []
        for index, column in enumerate(columns):
            work, over = _compress(column + carries, compress, height) if index < k else (column + carries, [])
            result[index], carries = reduce_column(work, height)
            carries = over + carries
        columns, height = result, height // 2
    return ripple_add(*two_rows(columns))


def _compress(work: Word, compress: Compressor, height: int) -> tuple[Word, Word]:
    """Compress four bits at a time while that leaves at least ``height`` bits."""
    carries: Word = []
    while len(work) >= 4:
        stay, over = compress(*work[:4])
        if len(work) - 4 + len(stay) < height:
            break
        work, carries = [*work[4:], *stay], [*carries, *over]
    return work, [bit for bit in carries if not is_zero(bit)]


def _family(compress: Compressor) -> Family:
    def product(a: Word, w: Word, *, signed: bool, k: int) -> Word:
        return _add(partial_products(a, w, signed), compress, k)

    product.__name__ = f"compressor_{compress.__name__}"
    product.__doc__ = compress.__doc__
    return family(WIDE, k=lambda s: range(4, s.wa + s.ww))(product)


for _design in (momeni, yang, venkatachalam, ha, strollo, sabetzadeh, esposito):
    _family(_design).register(k=(4, 6, 8, 10))
