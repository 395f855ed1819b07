"""The arithmetic of the array and Booth families, in whole numbers and from the publications alone.

Every model takes the values of both operands (int64 arrays that broadcast), their widths and
signedness, and the parameters of the family; it gives the product before it wraps.
"""

from collections.abc import Callable, Iterator

import numpy as np

Array = np.ndarray


def bit(values: Array, place: int) -> Array:
    """Bit ``place`` of two's complement values."""
    return (values >> place) & 1


def terms(a: Array, w: Array, wa: int, ww: int, signed: bool) -> Iterator[tuple[int, int, int, Array]]:
    """Every partial product: i, j, its sign (-1 with exactly one sign bit) and whether it is one."""
    for i in range(wa):
        for j in range(ww):
            sign = -1 if signed and (i == wa - 1) != (j == ww - 1) else 1
            yield i, j, sign, bit(a, i) * bit(w, j)


def exact(a: Array, w: Array, wa: int, ww: int, signed: bool, **_: int) -> Array:
    return a * w


def truncated(a: Array, w: Array, wa: int, ww: int, signed: bool, k: int, c: int) -> Array:
    dropped, highest, mean = 0 * a * w, 0 * a * w, 0.0
    for i, j, sign, product in terms(a, w, wa, ww, signed):
        dropped += sign * (product << (i + j)) if i + j < k else 0
        highest += sign * product if i + j == k - 1 else 0
        mean += sign * 2 ** (i + j) / 4 if i + j < k else 0
    correction = {0: 0, 1: round(mean / 2**k) << k, 2: highest << k}[c]
    return a * w - dropped + correction


def broken_array(a: Array, w: Array, wa: int, ww: int, signed: bool, h: int, v: int) -> Array:
    dropped = 0 * a * w
    for i, j, sign, product in terms(a, w, wa, ww, signed):
        dropped += sign * (product << (i + j)) if j < h or i + j < v else 0
    return a * w - dropped


def perforated(a: Array, w: Array, wa: int, ww: int, signed: bool, j: int, k: int) -> Array:
    return a * (w & ~(((1 << k) - 1) << j))


def narrowed(a: Array, w: Array, wa: int, ww: int, signed: bool, /, **lost: int) -> Array:
    return (a >> lost["a"] << lost["a"]) * (w >> lost["w"] << lost["w"])


def merged(a: Array, w: Array, wa: int, ww: int, signed: bool, d: int) -> Array:
    total, groups = 0 * a * w, {}
    for i, j, sign, product in terms(a, w, wa, ww, signed):
        if sign > 0 and i + j <= wa - 1 + j // d:
            groups[i + j, j // d] = groups.get((i + j, j // d), 0) | product
        else:
            total += sign * (product << (i + j))
    return total + sum(one << column for (column, _), one in groups.items())


def booth_rows(a: Array, w: Array, ww: int, signed: bool) -> Iterator[tuple[int, Array, Array, Array]]:
    """Of every digit of w: its place, itself, the row before the negation is completed, and that last one."""
    previous = 0 * w
    for index in range((ww + 1) // 2 if signed else ww // 2 + 1):
        high, middle = bit(w, 2 * index + 1), bit(w, 2 * index)  # of an integer, so extended by its sign
        digit = middle + previous - 2 * high
        yield index, digit, np.where(digit < 0, ~(-digit * a), digit * a), digit < 0
        previous = high


def clamped(total: Array, wa: int, ww: int, signed: bool) -> Array:
    """Unsigned products outside their range end at the nearer end."""
    return total if signed else np.clip(total, 0, (1 << (wa + ww)) - 1)


def broken_booth(a: Array, w: Array, wa: int, ww: int, signed: bool, h: int, v: int, c: int) -> Array:
    total, mean = 0 * a * w, 0.0
    for index, _, row, last in booth_rows(a, w, ww, signed):
        lost = max(0, v - 2 * index)
        sign = wa if signed else wa + 1  # the place of the bit that counts negatively
        if index < h:
            continue
        mean += 0.375 * 2**v if 2 * index < v <= 2 * index + wa else 0
        total += (row >> lost << lost if lost <= sign else 0) + (last if lost == 0 else 0) << 2 * index
        if lost and c == 2 and lost <= sign + 1:
            total += bit(row, lost - 1) * (-1 if lost == sign + 1 else 1) + (last if lost == 1 else 0) << v
    return clamped(total + (round(mean / 2**v) << v if c == 1 else 0), wa, ww, signed)


def approximate_booth(a: Array, w: Array, wa: int, ww: int, signed: bool, e: int, p: int) -> Array:
    total = 0 * a * w
    for index, digit, row, last in booth_rows(a, w, ww, signed):
        simple = np.where(bit(w, 2 * index + 1) == 1, ~a, a)
        if e == 1:
            simple = np.where(digit % 2 == 1, simple, 0)
        mask = (1 << max(0, p - 2 * index)) - 1
        total += ((row & ~mask | simple & mask) + last) << 2 * index
    return clamped(total, wa, ww, signed)


# What the publications' truth tables say of four input bits: the result less the number of ones.
DEVIATIONS: dict[str, Callable[[int, int, int, int], int]] = {
    "momeni": lambda x, y, z, t: {0b0000: 1, 0b0011: -1, 0b1100: -1, 0b1111: -1}.get(x * 8 + y * 4 + z * 2 + t, 0),
    "yang": lambda x, y, z, t: -(x & y & z & t),
    "venkatachalam": lambda x, y, z, t: -1 if x + y + z + t == 4 or (x + y == 1 and z + t == 1) else 0,
    "ha": lambda x, y, z, t: -(z & t),
    "strollo": lambda x, y, z, t: -(x & y & z),
    "sabetzadeh": lambda x, y, z, t: 1 + 2 * (x + z + t >= 2) - (x + y + z + t),
    "esposito": lambda x, y, z, t: min(2, x + y + z + t) - (x + y + z + t),
}


def compressor(design: str) -> Callable[..., Array]:
    """Dadda's tree with stages of 2, 4, 8 ... bits a column; the design's compressors in columns below k."""
    values = np.array([
        x + y + z + t + DEVIATIONS[design](x, y, z, t) for x, y, z, t in np.ndindex(2, 2, 2, 2)
    ])  # fmt: skip

    def model(a: Array, w: Array, wa: int, ww: int, signed: bool, k: int) -> Array:
        columns: list[list[Array]] = [[] for _ in range(wa + ww)]
        constant = 0
        for i, j, sign, product in terms(a, w, wa, ww, signed):
            columns[i + j].append(product if sign > 0 else 1 - product)
            constant -= (sign < 0) << (i + j)
        for index, column in enumerate(columns):
            column += [np.ones_like(a * w)] * bit(constant, index)
        height = max(2, 1 << (max(map(len, columns)) - 1).bit_length() - 1)
        while height >= 2:
            carries: list[Array] = []
            for index, column in enumerate(columns):
                work, over, exact_over = column + carries, [], []
                stay = 2 if design == "esposito" else 1
                while index < k and len(work) >= 4 and len(work) - 4 + stay >= height:
                    value = values[work[0] * 8 + work[1] * 4 + work[2] * 2 + work[3]]
                    if design == "esposito":  # a single one stays in the half of the inputs where it was
                        first, second = work[2] | work[3], work[0] | work[1]
                        work = [*work[4:], first | (value == 2), second | (value == 2)]
                    else:
                        work, over = [*work[4:], value & 1], [*over, value >> 1]
                while len(work) > height:
                    count = min(3, len(work) - height + 1)
                    value = sum(work[:count])
                    work, exact_over = [*work[count:], value & 1], [*exact_over, value >> 1]
                columns[index], carries = work, over + exact_over
            height //= 2
        return sum(sum(column) << index for index, column in enumerate(columns))

    return model


MODELS: dict[str, Callable[..., Array]] = {
    "exact": exact, "exact_array": exact, "exact_wallace": exact, "exact_booth": exact,
    "exact_magnitude": exact, "exact_multiples": exact, "truncated": truncated,
    "broken_array": broken_array, "perforated": perforated, "narrowed": narrowed, "merged": merged,
    "broken_booth": broken_booth, "approximate_booth": approximate_booth,
    **{f"compressor_{design}": compressor(design) for design in DEVIATIONS},
}  # fmt: skip
