"""Families that add approximate logarithms: Mitchell and its truncated and compensated forms.

With a = 2^ka (1 + x) and w = 2^kw (1 + y), Mitchell reads log2(1 + x) as x: the product is
2^(ka + kw) (1 + x + y), and 2^(ka + kw + 1) (x + y) where x + y carries.
"""

from collections.abc import Callable

from .bits import Word, gated, on_magnitudes, resized, ripple_add, select
from .leading import logarithm, shift_left
from .registry import SQUARE, Sizes, complements, family

Adder = Callable[[Word, Word], Word]


def _logarithmic(a: Word, w: Word, fraction: int, add: Adder = ripple_add) -> Word:
    """The product by logarithms of ``fraction`` fraction bits that ``add`` adds."""
    words, nonzero = [], []
    for operand in (a, w):
        exact, position, any_one = logarithm(operand)
        words.append([*exact[len(exact) - fraction :], *position])
        nonzero.append(any_one)
    total = add([*words[0], 0], [*words[1], 0])
    product = shift_left([*total[:fraction], 1], total[fraction:], fraction + 2 * len(a))
    return gated(product[fraction:], nonzero[0] & nonzero[1])


@family(SQUARE, o=complements)
@on_magnitudes
def mitchell(a: Word, w: Word) -> Word:
    """Add the linear approximations of both logarithms.

    Mitchell, "Computer Multiplication and Division Using Binary Logarithms", 1962.
    """
    return _logarithmic(a, w, len(a) - 1)


@family(SQUARE, f=lambda s: range(1, s.wa - 1), o=complements)
@on_magnitudes
def truncated_mitchell(a: Word, w: Word, *, f: int) -> Word:
    """Mitchell's product from the ``f`` highest fraction bits.

    Kim et al., "Efficient Mitchell's Approximate Log Multipliers for Convolutional Neural Networks",
    TC 2019, without its unbiasing; with ``o`` = 1 as there with one's complements for signs.
    """
    return _logarithmic(a, w, f)


@family(SQUARE, m=lambda s: range(1, s.wa - 1), o=complements)
@on_magnitudes
def alm_loa(a: Word, w: Word, *, m: int) -> Word:
    """Mitchell's product with a lower-part-OR adder: the ``m`` low bits of the logarithms are ORed.

    Liu et al., "Design and Evaluation of Approximate Logarithmic Multipliers for Low Power
    Error-Tolerant Applications", TCAS-I 2018 (ALM-LOA); the highest low bits give the carry.
    """

    def add(x: Word, y: Word) -> Word:
        low = [left | right for left, right in zip(x[:m], y[:m], strict=True)]
        return low + ripple_add(x[m:], y[m:], x[m - 1] & y[m - 1])

    return _logarithmic(a, w, len(a) - 1, add)


@family(SQUARE, m=lambda s: range(1, s.wa - 1), o=complements)
@on_magnitudes
def alm_soa(a: Word, w: Word, *, m: int) -> Word:
    """Mitchell's product with a set-one adder: the ``m`` low bits of the sum are one.

    Liu et al., "Design and Evaluation of Approximate Logarithmic Multipliers for Low Power
    Error-Tolerant Applications", TCAS-I 2018 (ALM-SOA); the highest low bits give the carry, and the
    ones offset that a linear logarithm is too small.
    """

    def add(x: Word, y: Word) -> Word:
        return [1] * m + ripple_add(x[m:], y[m:], x[m - 1] & y[m - 1])

    return _logarithmic(a, w, len(a) - 1, add)


@family(
    Sizes("operands of equal width, 5 to 16 bits", lambda wa, ww: wa == ww >= 5),
    t=lambda s: range(s.wa - 4),
    o=complements,
)
@on_magnitudes
def mbm(a: Word, w: Word, *, t: int) -> Word:
    """Mitchell's product plus its mean error of 2^(ka + kw) / 12; ``t`` fraction bits cut, then the lowest set.

    Saadat, Bokhari and Parameswaran, "Minimally Biased Multipliers for Approximate Integer and
    Floating-Point Multiplication", TCAD 2018. The mean is 1/12 cut to the fraction bits (5/64 for 8-bit
    operands), half of it where the fractions carry. A product that would overflow is all ones.
    """
    width, fraction = len(a), len(a) - 1 - t
    (x, left, some), (y, right, other) = logarithm(a), logarithm(w)
    words = [[bits[t] | (t > 0), *bits[t + 1 :]] for bits in (x, y)]
    total = ripple_add([*words[0], *left, 0], [*words[1], *right, 0])
    carry = ripple_add([*words[0], 0], [*words[1], 0])[fraction]
    mean: Word = [((1 << fraction) // 12 >> index) & 1 for index in range(fraction + 2)]
    mantissa = ripple_add([*total[:fraction], 1, 0], select(carry, [*mean[1:], 0], mean))
    product = shift_left(mantissa, total[fraction:], fraction + 2 * width + 1)[fraction:]
    product = [bit | product[-1] for bit in product[:-1]]
    return gated(resized(product, 2 * width), some & other)


mitchell.register()
mitchell.register(signed=True, o=1)
truncated_mitchell.register(f=(2, 3, 4, 5))
truncated_mitchell.register(signed=True, f=(3, 4), o=1)
alm_loa.register(m=(2, 3, 4, 5))
alm_soa.register(m=(2, 3, 4, 5))
alm_soa.register(signed=True, m=(3, 4), o=1)
mbm.register(t=(0, 1, 2, 3))
