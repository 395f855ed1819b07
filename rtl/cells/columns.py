"""Columns of weighted bits: partial products, and the trees that add them up."""

from collections.abc import Callable
from operator import itemgetter

from .bits import AnyBit, Word, full_add, is_zero, resized, ripple_add

Columns = list[Word]
Add = Callable[[Word, Word], Word]


def counts_down(a: Word, w: Word, i: int, j: int) -> bool:
    """Whether ``a[i] & w[j]`` counts negatively in a signed product: exactly one of them is a sign bit."""
    return (i == len(a) - 1) != (j == len(w) - 1)


def in_place(i: int, j: int) -> int | None:
    """The column of ``a[i] & w[j]`` in an exact product."""
    return i + j


def partial_products(a: Word, w: Word, signed: bool, place: Callable[[int, int], int | None] = in_place) -> Columns:
    """Columns of ``a[i] & w[j]``, each in the column ``place(i, j)`` or nowhere where that is None.

    Signed operands use the modified Baugh-Wooley form: products with exactly one sign bit are
    inverted and constants are added (Baugh and Wooley, 1973). A dropped inverted product counts
    as the zero it stands for, so the sum never gains an offset of its own.
    """
    columns: Columns = [[] for _ in range(len(a) + len(w))]
    constant = 0
    for i, left in enumerate(a):
        for j, right in enumerate(w):
            inverted = signed and counts_down(a, w, i, j)
            column = place(i, j)
            if column is not None:
                columns[column].append((left & right) ^ 1 if inverted else left & right)
                constant -= inverted << column
    add_constant(columns, constant)
    return columns


def add_constant(columns: Columns, value: int) -> None:
    """Add a constant, modulo 2^len(columns), as constant bits of the columns."""
    for index, column in enumerate(columns):
        if (value >> index) & 1:
            column.append(1)


def add_word(columns: Columns, word: Word, shift: int = 0) -> None:
    """Add a word times 2^shift, modulo 2^len(columns)."""
    for column, bit in zip(columns[shift:], word, strict=False):
        column.append(bit)


def dadda_add(columns: Columns, add: Add = ripple_add) -> Word:
    """Sum of weighted columns modulo 2^len(columns): Dadda tree, then an adder of two words.

    Dadda, "Some Schemes for Parallel Multipliers", 1965: each stage reduces only as far as the next
    height of 2, 3, 4, 6, 9, 13 ... needs.
    """
    columns = without_zeros(columns)
    heights = [2]
    while heights[-1] < max(map(len, columns), default=0):
        heights.append(heights[-1] * 3 // 2)
    for height in reversed(heights[:-1]):
        columns = _reduce(columns, height)
    return add(*two_rows(columns))


def _reduce(columns: Columns, height: int) -> Columns:
    result: Columns = [[] for _ in columns]
    carries: Word = []
    for index, column in enumerate(columns):
        result[index], carries = reduce_column(column + carries, height)
    return result


def reduce_column(work: Word, height: int) -> tuple[Word, Word]:
    """Full and half adders until ``height`` bits are left; what stays, and the carries."""
    carries: Word = []
    while len(work) > height:
        operands = (work[0], work[1], work[2] if len(work) > height + 1 else 0)
        work = work[3 if len(work) > height + 1 else 2 :]
        bit, carry = full_add(*operands)
        work.append(bit)
        carries.append(carry)
    return work, carries


def wallace_add(columns: Columns, add: Add = ripple_add) -> Word:
    """Sum of weighted columns modulo 2^len(columns): Wallace tree, then an adder of two words.

    Wallace, "A Suggestion for a Fast Multiplier", 1964: every stage takes all the bits of a column in
    threes, and a last pair.
    """
    columns = without_zeros(columns)
    while max(map(len, columns), default=0) > 2:
        result: Columns = [[] for _ in columns]
        for index, column in enumerate(columns):
            for start in range(0, len(column), 3):
                group = column[start : start + 3]
                if len(group) == 1 or len(column) <= 2:
                    result[index] += group
                    continue
                bit, carry = full_add(group[0], group[1], group[2] if len(group) == 3 else 0)
                result[index].append(bit)
                if index + 1 < len(columns):
                    result[index + 1].append(carry)
        columns = without_zeros(result)
    return add(*two_rows(columns))


def earliest_first_add(columns: Columns, add: Add = ripple_add) -> Word:
    """Sum of weighted columns modulo 2^len(columns): full adders that always take a column's three earliest bits.

    A full adder's results come one step after the last of its bits. Bits that wait for each other least also glitch
    least. After Oklobdzija, Villeger and Liu, "A Method for Speed Optimized Partial Product Reduction", 1996.
    """
    rows: Columns = []
    carries: list[tuple[int, AnyBit]] = []
    for column in without_zeros(columns):
        waiting = [(0, bit) for bit in column] + carries
        carries = []
        while len(waiting) > 2:
            waiting.sort(key=itemgetter(0))  # stable: equal ones in the order of their making
            taken, waiting = waiting[:3], waiting[3:]
            total, carry = full_add(*(bit for _, bit in taken))
            step = taken[-1][0] + 1
            waiting.append((step, total))
            carries.append((step, carry))
        rows.append([bit for _, bit in sorted(waiting, key=itemgetter(0))])
    return add(*two_rows(rows))


def carry_save_add(words: list[Word]) -> Word:
    """Sum of words of equal length, modulo 2^length: one row of full adders a word, then a ripple adder.

    The array multiplier: Braun, "Digital Computer Design", 1963.
    """
    total, carries = words[0], resized([], len(words[0]))
    for word in words[1:]:
        pairs = [full_add(*bits) for bits in zip(total, carries, word, strict=True)]
        total, carries = [pair[0] for pair in pairs], resized([0, *(pair[1] for pair in pairs)], len(word))
    return ripple_add(total, carries)


def without_zeros(columns: Columns) -> Columns:
    """The columns without constant zeros."""
    return [[bit for bit in column if not is_zero(bit)] for column in columns]


def two_rows(columns: Columns) -> tuple[Word, Word]:
    """The one or two bits of every column as two words, zeros where a column is shorter."""
    padded = [[*column, 0, 0] for column in columns]
    return [column[0] for column in padded], [column[1] for column in padded]


def multiply(a: Word, w: Word) -> Word:
    """Exact unsigned product."""
    return dadda_add(partial_products(a, w, signed=False))
