"""Families that replace operands or low parts by something simpler: RoBA, ETM, error recovery."""

from .bits import Word, any_of, gated, on_magnitudes, resized, ripple_add, select
from .columns import Columns, add_word, dadda_add, multiply
from .leading import leading_one
from .registry import SQUARE, complements, family


def _nearest_power(word: Word) -> Word:
    """One-hot power of two nearest to a word, one bit longer; 3 counts as 2, other ties go up."""
    lead = [*leading_one(word), 0]
    result = [lead[0], lead[1]]
    for index in range(2, len(lead)):
        stays = lead[index] & (word[index - 1] ^ 1)
        comes = lead[index - 1] & word[index - 2] if index > 2 else 0
        result.append(stays | comes)
    return result


def _times_power(word: Word, power: Word, length: int) -> Word:
    return [
        any_of([word[index - shift] & bit for shift, bit in enumerate(power) if 0 <= index - shift < len(word)])
        for index in range(length)
    ]


@family(SQUARE, o=complements)
@on_magnitudes
def roba(a: Word, w: Word) -> Word:
    """a' w + a w' - a' w' with operands rounded to the nearest power of two: shifts and sums only.

    Zendegani et al., "RoBA Multiplier: A Rounding-Based Approximate Multiplier for High-Speed yet
    Energy-Efficient Digital Signal Processing", TVLSI 2017: S-RoBA, and AS-RoBA with ``o`` = 1.
    """
    length = 2 * len(a)
    left, right = _nearest_power(a), _nearest_power(w)
    columns: Columns = [[] for _ in range(length)]
    add_word(columns, _times_power(w, left, length))
    add_word(columns, _times_power(a, right, length))
    add_word(columns, [bit ^ 1 for bit in _times_power(left, right, length)])
    add_word(columns, [1])
    return dadda_add(columns)


@family(SQUARE, l=lambda s: range(1, s.wa // 2 + 1), o=complements)
@on_magnitudes
def etm(a: Word, w: Word, *, l: int) -> Word:  # noqa: E741  the length of the low part
    """Multiply the high parts, guess the product of the ``l`` low bits; the low parts where the high are zero.

    Kyaw, Goh and Yeo, "Low-Power High-Speed Multiplier for Error-Tolerant Application", EDSSC 2010:
    from the highest low bit down, the first place where an operand has a one sets that bit of the low
    product and all below it.
    """
    width = len(a)
    high = any_of(a[l:]) | any_of(w[l:])
    left = select(high, a[l:], resized(a[:l], width - l))
    right = select(high, w[l:], resized(w[:l], width - l))
    product = multiply(left, right)
    low: Word = []
    for bit in reversed(range(l)):
        low = [a[bit] | w[bit] | (low[0] if low else 0), *low]
    guess = [low[0]] * l + low
    return select(high, guess + product, resized(product, 2 * width))


@family(SQUARE, r=lambda s: range(s.wa + s.ww), o=complements)
@on_magnitudes
def error_recovery(a: Word, w: Word, *, r: int) -> Word:
    """A tree of adders that pass no carry on; their errors, ORed, corrected in the ``r`` highest columns.

    Liu, Han and Lombardi, "A Low-Power, High-Performance Approximate Multiplier with Configurable
    Partial Error Recovery", DATE 2014 (AM1): x + y = s + e with s = (x ^ y) | 2 (x & y) and e the bits
    where both are one.
    """
    length = len(a) + len(w)
    words: list[Word] = [resized([*[0] * j, *gated(a, bit)], length) for j, bit in enumerate(w)]
    lost: list[Word] = []
    while len(words) > 1:
        pairs = [words[index : index + 2] for index in range(0, len(words), 2)]
        words = []
        for pair in pairs:
            if len(pair) == 1:
                words += pair
                continue
            half = [x ^ y for x, y in zip(*pair, strict=True)]
            carry = [0, *(x & y for x, y in zip(*pair, strict=True))][:length]
            words.append([x | y for x, y in zip(half, carry, strict=True)])
            lost.append([x & y for x, y in zip(half, carry, strict=True)])
    errors = [any_of(list(bits)) for bits in zip(*lost, strict=True)]
    return ripple_add(words[0], [*[0] * (length - r), *errors[length - r :]])


roba.register()
roba.register(signed=True, o=1)
etm.register(l=(2, 3, 4))
error_recovery.register(r=(4, 6, 8, 10, 12))
