"""The arithmetic of the families that multiply magnitudes, from the publications alone.

Models of magnitudes: values int64 of both operands, the number n of bits, and the parameters.
"""

from collections.abc import Callable

import numpy as np

Array = np.ndarray


def leading(values: Array) -> Array:
    """Place of the leading one; 0 for zero."""
    return np.frexp(np.maximum(values, 1).astype(float))[1] - 1


def fraction(values: Array, bits: int) -> Array:
    """(values / 2^leading - 1) * 2^bits."""
    return (values << bits >> leading(values)) - (1 << bits)


def antilogarithm(logarithm: Array, bits: int) -> Array:
    """2^whole (1 + fraction) of a number with ``bits`` fraction bits."""
    return (1 << bits) + logarithm % (1 << bits) << (logarithm >> bits) >> bits


def mitchell(a: Array, w: Array, n: int) -> Array:
    return truncated_mitchell(a, w, n, n - 1)


def truncated_mitchell(a: Array, w: Array, n: int, f: int) -> Array:
    logarithms = (leading(v) * (1 << f) + (fraction(v, n - 1) >> (n - 1 - f)) for v in (a, w))
    return antilogarithm(sum(logarithms), f)


def _split(a: Array, w: Array, n: int, m: int) -> tuple[Array, Array, Array]:
    """Logarithms of n - 1 fraction bits: sum of the parts above m bits with carry, and both low parts."""
    x, y = (leading(v) * (1 << (n - 1)) + fraction(v, n - 1) for v in (a, w))
    carry = (x >> (m - 1)) & (y >> (m - 1)) & 1
    return ((x >> m) + (y >> m) + carry) << m, x % (1 << m), y % (1 << m)


def alm_soa(a: Array, w: Array, n: int, m: int) -> Array:
    return antilogarithm(_split(a, w, n, m)[0] + (1 << m) - 1, n - 1)


def alm_loa(a: Array, w: Array, n: int, m: int) -> Array:
    high, x, y = _split(a, w, n, m)
    return antilogarithm(high + (x | y), n - 1)


def mbm(a: Array, w: Array, n: int, t: int) -> Array:
    bits = n - 1 - t
    x, y = (fraction(v, n - 1) >> t | (t > 0) for v in (a, w))
    carry, mean = (x + y) >> bits, (1 << bits) // 12
    mantissa = (1 << bits) + (x + y) % (1 << bits) + (mean >> carry)
    return np.minimum(mantissa << (leading(a) + leading(w) + carry) >> bits, (1 << 2 * n) - 1)


def drum(a: Array, w: Array, n: int, k: int) -> Array:
    def segment(v: Array) -> Array:
        shift = np.maximum(leading(v) - (k - 1), 0)
        return np.where(shift > 0, (v >> shift | 1) << shift, v)

    return segment(a) * segment(w)


def ssm(a: Array, w: Array, n: int, m: int, e: int) -> Array:
    def segment(v: Array) -> Array:
        result, step = v, (n - m) // (1 + e)
        for shift in range(step, n - m + 1, step):
            result = np.where(v >> (shift - step + m) > 0, v >> shift << shift, result)
        return result

    return segment(a) * segment(w)


def tosam(a: Array, w: Array, n: int, h: int, t: int) -> Array:
    point = 2 * n + 2  # fraction bits enough for every term
    (x, y) = (fraction(v, n - 1) for v in (a, w))
    cut = [v >> (n - 1 - t) << (point - t) for v in (x, y)]
    odd = [2 * (v >> (n - 1 - h)) + 1 for v in (x, y)]  # h bits and a one
    mantissa = (1 << point) + sum(cut) + (odd[0] * odd[1] << (point - 2 * h - 2))
    point_used = max(t, 2 * h + 2)  # no lower bit is ever set
    return mantissa >> (point - point_used) << (leading(a) + leading(w)) >> point_used


def roba(a: Array, w: Array, n: int) -> Array:
    def nearest(v: Array) -> Array:
        low = 1 << leading(v)
        return np.where((2 * (v - low) >= low) & (v != 3) & (v > 1), 2 * low, low) * (v > 0)

    return nearest(a) * w + a * nearest(w) - nearest(a) * nearest(w)


def etm(a: Array, w: Array, n: int, l: int) -> Array:  # noqa: E741
    ones = (a | w) % (1 << l)
    guess = (np.where(ones > 0, 2 << leading(ones), 1) - 1 << l) + (((1 << l) - 1) * (ones > 0))
    small = (a < 1 << l) & (w < 1 << l)
    return np.where(small, a * w, ((a >> l) * (w >> l) << 2 * l) + guess)


def recursive(a: Array, w: Array, n: int, x: int) -> Array:
    def threes(values: Array, low: int, high: int) -> Array:
        return sum((((values >> 2 * i) & 3) == 3) * 4**i for i in range(low // 2, high // 2))

    half, error = n // 2, threes(a, 0, n) * threes(w, 0, n)
    if x == 1:
        error = error - threes(a, half, n) * threes(w, half, n)
    if x == 3:
        error = threes(a, 0, half) * threes(w, 0, half)
    return a * w - 2 * error


def error_recovery(a: Array, w: Array, n: int, r: int) -> Array:
    rows, errors = [(a * (w >> j & 1)) << j for j in range(n)], 0 * a * w
    while len(rows) > 1:
        pairs, rest = zip(rows[::2], rows[1::2], strict=False), rows[len(rows) & ~1 :]
        rows = []
        for x, y in pairs:
            single, both = x ^ y, (x & y) << 1
            rows.append(single | both)
            errors |= single & both
        rows += rest
    return rows[0] + (errors >> (2 * n - r) << (2 * n - r))


def on_values(model: Callable[..., Array]) -> Callable[..., Array]:
    """The model of a family that multiplies magnitudes and restores the sign, exactly or by complements."""

    def values(a: Array, w: Array, wa: int, ww: int, signed: bool, o: int, **parameters: int) -> Array:
        left, right = (np.where(v < 0, ~v if o else -v, v) for v in (a, w))
        product = model(left, right, wa, **parameters)
        if model is not etm:
            product = np.where((left == 0) | (right == 0), 0, product)
        return np.where((a < 0) != (w < 0), ~product if o else -product, product)

    return values


def of_array(model: Callable[..., Array], tree: bool) -> Callable[..., Array]:
    """The model of an unsigned array between negations; a ``tree`` is laid out for the bits that there are."""

    def values(a: Array, w: Array, wa: int, ww: int, signed: bool, /, o: int = 0, **parameters: int) -> Array:
        left, right = (np.where(v < 0, ~v if o else -v, v) for v in (a, w))
        spare = 1 if o and tree and signed else 0  # bits that one's complements leave zero
        product = model(left, right, wa - spare, ww - spare, False, **parameters)
        return np.where((a < 0) != (w < 0), ~product if o else -product, product)

    return values


FAMILIES = (mitchell, truncated_mitchell, alm_soa, alm_loa, mbm, drum, ssm, tosam, roba, etm, recursive, error_recovery)
MODELS = {model.__name__: on_values(model) for model in FAMILIES}
