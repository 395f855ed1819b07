"""Families that start from the leading one of each operand: DRUM and Mitchell."""

from functools import partial

from .bits import AnyBit, any_of, dadda_add, leading_one, partial_products, ripple_add, select, sign_magnitude
from .netlist import BitFunction
from .registry import register

Word = list[AnyBit]


def _encode(onehot: Word, width: int) -> Word:
    return [any_of([bit for p, bit in enumerate(onehot) if (p >> b) & 1]) for b in range(width.bit_length() - 1)]


def _shift_left(word: Word, amount: Word, length: int) -> Word:
    word = word + [0] * (length - len(word))
    for power, bit in enumerate(amount):
        shift = 1 << power
        word = select(bit, ([0] * shift + word)[:length], word)
    return word


def _segment(word: Word, k: int) -> tuple[Word, Word]:
    """The k bits from the leading one down, the lowest forced to 1 where bits were cut; one-hot shift."""
    onehot = leading_one(word)
    cuts = [any_of(onehot[:k]), *onehot[k:]]
    segment = []
    for bit in range(k):
        taken = [choose & word[shift + bit] for shift, choose in enumerate(cuts)]
        segment.append(any_of(taken))
    segment[0] = segment[0] | any_of(cuts[1:])
    return segment, cuts


def _drum(a: Word, w: Word, k: int) -> Word:
    width = len(a)
    (left, left_shift), (right, right_shift) = _segment(a, k), _segment(w, k)
    product = dadda_add(partial_products(left, right, signed=False))
    for cuts in (left_shift, right_shift):
        product = _shift_left(product, _encode(cuts, _ceil_power(len(cuts))), 2 * width)
    return product


def _ceil_power(value: int) -> int:
    return 1 << (value - 1).bit_length()


def drum(*, width: int, signed: bool, k: int) -> BitFunction:
    """Multiply k-bit segments from each leading one, with an unbiasing lowest bit.

    Hashemi, Bahar and Reda, "DRUM: A Dynamic Range Unbiased Multiplier", ICCAD 2015.
    """
    product = partial(_drum, k=k)
    return sign_magnitude(product) if signed else product


def _mitchell(a: Word, w: Word) -> Word:
    width = len(a)
    logarithms, nonzero = [], []
    for word in (a, w):
        onehot = leading_one(word)
        position = _encode(onehot, width)
        normalised = _shift_left(word, [bit ^ 1 for bit in position], width)  # by width - 1 - position
        logarithms.append(normalised[:-1] + position)
        nonzero.append(any_of(word))
    total = ripple_add(logarithms[0] + [0], logarithms[1] + [0])
    fraction, exponent = total[: width - 1], total[width - 1 :]
    mantissa = _shift_left([*fraction, 1], exponent, 3 * width - 1)
    both = nonzero[0] & nonzero[1]
    return [bit & both for bit in mantissa[width - 1 : 3 * width - 1]]


def mitchell(*, width: int, signed: bool) -> BitFunction:
    """Add the linear approximations of both logarithms; ``width`` a power of two.

    Mitchell, "Computer Multiplication and Division Using Binary Logarithms", 1962.
    """
    return sign_magnitude(_mitchell) if signed else _mitchell


for _signed in (True, False):
    for _k in (3, 4, 5, 6):
        register("drum", drum, signed=_signed, k=_k)
    register("mitchell", mitchell, signed=_signed)
