"""Leading ones, segments from them, and shifts by them."""

from .bits import AnyBit, Word, any_of, resized, select
from .netlist import Bit


def leading_one(word: Word) -> Word:
    """One-hot position of the most significant one; all zero for a zero word."""
    found: AnyBit = 0
    onehot: Word = [0] * len(word)
    for index in reversed(range(len(word))):
        onehot[index] = word[index] & ~found if isinstance(found, Bit) else word[index]
        found = found | word[index]
    return onehot


def encode(onehot: Word) -> Word:
    """Binary position of a one-hot word."""
    return [
        any_of([bit for place, bit in enumerate(onehot) if (place >> index) & 1])
        for index in range((len(onehot) - 1).bit_length())
    ]


def shift_left(word: Word, amount: Word, length: int) -> Word:
    """``word`` times 2^amount, modulo 2^length."""
    word = resized(word, length)
    for power, bit in enumerate(amount):
        shift = 1 << power
        word = select(bit, ([0] * shift + word)[:length], word)
    return word


def segment(word: Word, k: int) -> tuple[Word, Word]:
    """The k bits from the leading one down, or the lowest k; one-hot shift that they lost."""
    onehot = leading_one(word)
    cuts = [any_of(onehot[:k]), *onehot[k:]]
    bits = []
    for bit in range(k):
        taken = [choose & word[shift + bit] for shift, choose in enumerate(cuts)]
        bits.append(any_of(taken))
    return bits, cuts


def logarithm(word: Word) -> tuple[Word, Word, AnyBit]:
    """Mitchell's logarithm of a word of n bits: fraction of n - 1 bits, binary position, whether it has one."""
    onehot = leading_one(word)
    position = encode(onehot)
    if len(word) & (len(word) - 1):
        distance = encode(onehot[::-1])
    else:
        distance = [bit ^ 1 for bit in position]  # n - 1 - position
    return shift_left(word, distance, len(word))[:-1], position, any_of(word)
