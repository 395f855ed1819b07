"""IEEE 754 binary multiplication and addition, round to nearest even, as combinational hardware.

Subnormal operands count as 0 and results below the least normal number become 0, the sign kept; a result is
called too small after rounding. Infinities and NaN are as in the standard; NaN results are the quiet one.
"""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, ValueLike, signed


@dataclass(frozen=True)
class FloatFormat:
    """``exponent`` bits and ``fraction`` bits behind the leading one."""

    exponent: int
    fraction: int

    @property
    def width(self) -> int:
        """Bits in all."""
        return 1 + self.exponent + self.fraction

    @property
    def bias(self) -> int:
        """Exponent field of 1.0."""
        return (1 << (self.exponent - 1)) - 1

    @property
    def top(self) -> int:
        """Exponent field of infinities and NaN."""
        return (1 << self.exponent) - 1


SINGLE = FloatFormat(8, 23)
BFLOAT16 = FloatFormat(8, 7)


@dataclass(frozen=True)
class Float:
    """A number taken apart; ``significand`` has the leading one, and is 0 for zeros and subnormals."""

    sign: Value
    exponent: Value
    significand: Value
    is_zero: Value
    is_infinite: Value
    is_nan: Value


def unpack(bits: Value, form: FloatFormat) -> Float:
    """The parts of a bit pattern."""
    fraction, exponent = bits[: form.fraction], bits[form.fraction : form.fraction + form.exponent]
    is_zero, is_top = exponent == 0, exponent == form.top
    significand = Mux(is_zero, 0, Cat(fraction, Const(1, 1)))
    return Float(bits[-1], exponent, significand, is_zero, is_top & (fraction == 0), is_top & (fraction != 0))


def sort_key(bits: Value, form: FloatFormat) -> Value:
    """A signed integer that orders numbers as their values do; both zeros have 0, NaN has no place."""
    is_zero = bits[form.fraction : -1] == 0
    return Mux(is_zero, 0, Cat(bits[:-1] ^ bits[-1].replicate(form.width - 1), bits[-1])).as_signed()


def multiply(m: Module, left: Value, right: Value, form: FloatFormat, *, name: str) -> Value:
    """The product of two bit patterns."""
    a, b = unpack(left, form), unpack(right, form)
    bits = form.fraction + 1
    product = Signal(2 * bits, name=f"{name}_significands")
    m.d.comb += product.eq(a.significand * b.significand)
    high = product[-1]
    aligned = Signal(2 * bits, name=f"{name}_aligned")  # leading one on top
    m.d.comb += aligned.eq(Mux(high, product, product << 1))
    exponent = Signal(signed(form.exponent + 2), name=f"{name}_exponent")
    m.d.comb += exponent.eq(a.exponent + b.exponent + high - form.bias)
    is_nan = a.is_nan | b.is_nan | (a.is_infinite & b.is_zero) | (b.is_infinite & a.is_zero)
    return _round(
        m, a.sign ^ b.sign, exponent, aligned, form,
        is_zero=a.is_zero | b.is_zero, is_infinite=a.is_infinite | b.is_infinite, is_nan=is_nan, name=name,
    )  # fmt: skip


def add(m: Module, left: Value, right: Value, form: FloatFormat, *, name: str) -> Value:
    """The sum of two bit patterns: swap, align, add, normalise, round."""
    swap = Signal(name=f"{name}_swap")
    m.d.comb += swap.eq(right[:-1] > left[:-1])
    a, b = (Signal(form.width, name=f"{name}_{which}") for which in ("large", "small"))
    m.d.comb += [a.eq(Mux(swap, right, left)), b.eq(Mux(swap, left, right))]
    large, small = unpack(a, form), unpack(b, form)

    width = form.fraction + 4  # leading one, fraction, guard, round and sticky bit
    aligned = _shift_right_sticky(m, small.significand << 3, large.exponent - small.exponent, width, name)
    subtract = large.sign ^ small.sign
    total = Signal(width + 1, name=f"{name}_total")
    m.d.comb += total.eq((large.significand << 3) + Mux(subtract, -aligned, aligned))
    normal, zeros = _shift_left_to_one(m, total, name)
    exponent = Signal(signed(form.exponent + 2), name=f"{name}_exponent")
    m.d.comb += exponent.eq(large.exponent + 1 - zeros)
    is_nan = large.is_nan | small.is_nan | (large.is_infinite & small.is_infinite & subtract)
    nothing = total == 0
    return _round(
        m, large.sign & ~(nothing & subtract), exponent, normal, form,
        is_zero=nothing, is_infinite=large.is_infinite | small.is_infinite, is_nan=is_nan, name=name,
    )  # fmt: skip


def _shift_right_sticky(m: Module, value: ValueLike, distance: Value, width: int, name: str) -> Signal:
    """``value >> distance``, its lowest bit set if any one fell out."""
    current, lost = Value.cast(value)[:width], Const(0, 1)
    step = 0
    while 1 << step < width:
        chosen = distance[step]
        lost = lost | (chosen & current[: 1 << step].any())
        shifted = Signal(width, name=f"{name}_aligned_{step}")
        m.d.comb += shifted.eq(Mux(chosen, current >> (1 << step), current))
        current, step = shifted, step + 1
    far = distance[step:].any()
    aligned = Signal(width, name=f"{name}_aligned")
    kept = Mux(far, 0, current)
    m.d.comb += aligned.eq(kept | lost | (far & current.any()))
    return aligned


def _shift_left_to_one(m: Module, value: Signal, name: str) -> tuple[Signal, Value]:
    """``value`` with its highest one on top, and how far it was shifted; 0 stays 0."""
    width = len(value)
    current, distance = value, list[Value]()
    for step in reversed(range((width - 1).bit_length())):
        empty = ~current[max(width - (1 << step), 0) :].any()
        shifted = Signal(width, name=f"{name}_normal_{step}")
        m.d.comb += shifted.eq(Mux(empty, current << (1 << step), current))
        current = shifted
        distance.insert(0, empty)
    places = Signal(len(distance), name=f"{name}_places")
    m.d.comb += places.eq(Cat(*distance))
    return current, places


def _round(
    m: Module, sign: Value, exponent: Signal, aligned: Signal, form: FloatFormat, *,
    is_zero: Value, is_infinite: Value, is_nan: Value, name: str,
) -> Value:  # fmt: skip
    """The bit pattern of a significand whose leading one is the top bit of ``aligned``."""
    spare = len(aligned) - form.fraction - 1
    lowest, guard, rest = aligned[spare], aligned[spare - 1], aligned[: spare - 1].any()
    rounded = Signal(form.fraction + 1, name=f"{name}_rounded")  # without the leading one
    m.d.comb += rounded.eq(aligned[spare:-1] + (guard & (rest | lowest)))
    carry = rounded[-1]  # 1.11...1 became 10.0: the fraction is 0 either way
    final = Signal(signed(form.exponent + 2), name=f"{name}_final_exponent")
    m.d.comb += final.eq(Mux(carry, exponent + 1, exponent))
    infinite = is_infinite | (~is_zero & (final >= form.top))
    zero = is_zero | (final <= 0)
    result = Signal(form.width, name=f"{name}_result")
    fraction, field = rounded[: form.fraction], final[: form.exponent]
    with m.If(is_nan):
        m.d.comb += result.eq(Cat(Const(1 << (form.fraction - 1), form.fraction), Const(form.top, form.exponent)))
    with m.Elif(infinite):
        m.d.comb += result.eq(Cat(Const(0, form.fraction), Const(form.top, form.exponent), sign))
    with m.Elif(zero):
        m.d.comb += result.eq(Cat(Const(0, form.width - 1), sign))
    with m.Else():
        m.d.comb += result.eq(Cat(fraction, field, sign))
    return result
