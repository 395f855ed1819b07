"""Words of bits: adders, signs, selection. Least significant bit first; 0 and 1 stand for constants."""

from collections.abc import Callable, Sequence
from functools import wraps

from .netlist import Bit

AnyBit = Bit | int
Word = list[AnyBit]
Product = Callable[..., Sequence[AnyBit]]  # (a, w, **parameters) -> product


def is_zero(bit: AnyBit) -> bool:
    """Whether a bit is the constant 0."""
    return bit == 0 if isinstance(bit, int) else bit.node == 0


def full_add(x: AnyBit, y: AnyBit, z: AnyBit) -> tuple[AnyBit, AnyBit]:
    """Sum and carry of three bits; five gates, fewer when a bit is constant."""
    half = x ^ y
    return half ^ z, (x & y) | (half & z)


def ripple_add(x: Sequence[AnyBit], y: Sequence[AnyBit], carry: AnyBit = 0) -> Word:
    """Sum of two words of equal length, modulo 2^length."""
    total = []
    for left, right in zip(x, y, strict=True):
        bit, carry = full_add(left, right, carry)
        total.append(bit)
    return total


def prefix_add(x: Word, y: Word) -> Word:
    """Sum of two words of equal length, modulo 2^length, in logarithmic depth.

    Sklansky, "Conditional-Sum Addition Logic", 1960, as a tree of generate and propagate pairs.
    """
    half = [left ^ right for left, right in zip(x, y, strict=True)]
    generate = [left & right for left, right in zip(x, y, strict=True)]
    propagate = list(half)
    span = 1
    while span < len(x):
        for index in range(len(x)):
            if index & span:
                below = (index & ~(span - 1)) - 1
                generate[index] = generate[index] | (propagate[index] & generate[below])
                propagate[index] = propagate[index] & propagate[below]
        span *= 2
    return [bit ^ carry for bit, carry in zip(half, [0, *generate[:-1]], strict=True)]


def negate_if(word: Word, condition: AnyBit) -> Word:
    """Two's complement negation of ``word`` where ``condition`` holds, modulo 2^length."""
    zeros: Word = [0] * len(word)
    return ripple_add([bit ^ condition for bit in word], zeros, condition)


def invert_if(word: Word, condition: AnyBit) -> Word:
    """One's complement of ``word`` where ``condition`` holds: its negation less one."""
    return [bit ^ condition for bit in word]


def on_magnitudes(product: Product) -> Product:
    """Make an unsigned product serve signed operands too: magnitudes in, signed product out.

    The magnitude of -2^(n-1) is 2^(n-1), which the n unsigned bits hold: no operand is undefined. A
    further parameter ``o`` = 1 takes one's complements for negations, which saves three adders and
    errs by one in each: as in AS-RoBA (Zendegani et al., TVLSI 2017) and in Kim et al., TC 2019.
    """

    @wraps(product)
    def either(a: Word, w: Word, /, *, signed: bool, o: int = 0, **parameters: int) -> Sequence[AnyBit]:
        if not signed:
            return product(a, w, **parameters)
        negate = invert_if if o else negate_if
        magnitude = product(negate(list(a), a[-1]), negate(list(w), w[-1]), **parameters)
        return negate(list(magnitude), a[-1] ^ w[-1])

    return either


def select(condition: AnyBit, when_one: Word, when_zero: Word) -> Word:
    """Bitwise multiplexer."""
    return [zero ^ (condition & (one ^ zero)) for one, zero in zip(when_one, when_zero, strict=True)]


def gated(word: Word, condition: AnyBit) -> Word:
    """The word where ``condition`` holds, else zero."""
    return [bit & condition for bit in word]


def any_of(word: Sequence[AnyBit]) -> AnyBit:
    """OR of all bits."""
    result: AnyBit = 0
    for bit in word:
        result = result | bit
    return result


def resized(word: Sequence[AnyBit], length: int) -> Word:
    """The word cut or zero-extended to ``length`` bits."""
    return [*word, *[0] * (length - len(word))][:length]
