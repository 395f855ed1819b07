"""Families that multiply short segments of both operands: DRUM, SSM, TOSAM."""

from .bits import AnyBit, Word, any_of, gated, on_magnitudes, resized, select
from .columns import Columns, add_word, dadda_add, multiply
from .leading import encode, logarithm, segment, shift_left
from .registry import SQUARE, Sizes, complements, family


@family(
    Sizes("operands of 3 to 16 bits", lambda wa, ww: min(wa, ww) >= 3),
    k=lambda s: range(2, min(s.wa, s.ww)),
    o=complements,
)
@on_magnitudes
def drum(a: Word, w: Word, *, k: int) -> Word:
    """Multiply k-bit segments from each leading one, with an unbiasing lowest bit.

    Hashemi, Bahar and Reda, "DRUM: A Dynamic Range Unbiased Multiplier", ICCAD 2015.
    """
    segments, shifts = [], []
    for word in (a, w):
        bits, cuts = segment(word, k)
        segments.append([bits[0] | any_of(cuts[1:]), *bits[1:]])
        shifts.append(cuts)
    product = multiply(segments[0], segments[1])
    for cuts in shifts:
        product = shift_left(product, encode(cuts), len(a) + len(w))
    return product


@family(SQUARE, m=lambda s: range((s.wa + 1) // 2, s.wa), e=lambda s: range(2 - (s.wa - s.m) % 2), o=complements)
@on_magnitudes
def ssm(a: Word, w: Word, *, m: int, e: int) -> Word:
    """Multiply m-bit segments at fixed places: the highest m bits, or the lowest where the others are zero.

    Narayanamoorthy et al., "Energy-Efficient Approximate Multiplication for Digital Signal Processing
    and Classification Applications", TVLSI 2015; ``e`` = 1 is their enhanced form with a third segment
    halfway, where the number of bits left out is even.
    """
    width, step = len(a), (len(a) - m) // (1 + e)
    segments, flags = [], []
    for word in (a, w):
        chosen, above = word[:m], []
        for place in range(1, 2 + e):
            needed = any_of(word[m + (place - 1) * step :])
            chosen = select(needed, word[place * step : place * step + m], chosen)
            above.append(needed)
        segments.append(chosen)
        flags.append(above)
    product = resized(multiply(segments[0], segments[1]), 2 * width)
    for needed in (flag for above in flags for flag in above):
        product = select(needed, ([0] * step + product)[: 2 * width], product)
    return product


@family(SQUARE, h=lambda s: range(s.wa - 2), t=lambda s: range(s.h + 1, s.wa), o=complements)
@on_magnitudes
def tosam(a: Word, w: Word, *, h: int, t: int) -> Word:
    """2^(ka + kw) (1 + x + y + x' y') with fractions x, y cut to ``t`` bits, x', y' to ``h`` and rounded to odd.

    Vahdat et al., "TOSAM: An Energy-Efficient Truncation- and Rounding-Based Scalable Approximate
    Multiplier", TVLSI 2019.
    """
    width, point = len(a), max(t, 2 * h + 2)
    columns: Columns = [[] for _ in range(point + 2)]
    exponents: list[Word] = []
    odd: list[Word] = []
    nonzero: list[AnyBit] = []
    for word in (a, w):
        fraction, position, any_one = logarithm(word)
        add_word(columns, fraction[len(fraction) - t :], point - t)
        odd.append([1, *fraction[len(fraction) - h :]] if h else [1])
        exponents.append(position)
        nonzero.append(any_one)
    add_word(columns, multiply(odd[0], odd[1]), point - 2 * h - 2)
    add_word(columns, [1], point)
    product = dadda_add(columns)
    for exponent in exponents:
        product = shift_left(product, exponent, point + 2 * width)
    return gated(product[point:], nonzero[0] & nonzero[1])


drum.register(k=(3, 4, 5, 6))
drum.register(signed=True, k=(3, 4, 5), o=1)
ssm.register(m=(4, 5, 6))
ssm.register(signed=True, m=(4, 5), o=1)
ssm.register(m=7, signed=False)  # exact for the magnitudes of signed operands
ssm.register(m=(4, 6), e=1)
for _h, _t in ((0, 2), (0, 3), (1, 3), (1, 4), (1, 5), (2, 4), (2, 5), (2, 6)):
    tosam.register(h=_h, t=_t)
