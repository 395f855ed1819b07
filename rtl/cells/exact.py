"""The exact product in several forms: one function, different netlists, so different area and delay.

``fast`` = 1 ends a tree with a prefix adder instead of a ripple adder.
"""

from .bits import Word, on_magnitudes, prefix_add, ripple_add
from .booth import booth_products
from .columns import Columns, add_word, carry_save_add, dadda_add, partial_products, wallace_add
from .registry import family


@family(fast=lambda s: range(2))
def exact(a: Word, w: Word, *, signed: bool, fast: int) -> Word:
    """Baugh-Wooley partial products in a Dadda tree.

    Baugh and Wooley, "A Two's Complement Parallel Array Multiplication Algorithm", 1973.
    """
    return dadda_add(partial_products(a, w, signed), prefix_add if fast else ripple_add)


@family(fast=lambda s: range(2))
def exact_wallace(a: Word, w: Word, *, signed: bool, fast: int) -> Word:
    """Baugh-Wooley partial products in a Wallace tree.

    Wallace, "A Suggestion for a Fast Multiplier", 1964.
    """
    return wallace_add(partial_products(a, w, signed), prefix_add if fast else ripple_add)


@family()
def exact_array(a: Word, w: Word, *, signed: bool) -> Word:
    """Baugh-Wooley partial products in an array of carry-save rows, one a bit of w.

    Braun, "Digital Computer Design", 1963; Baugh and Wooley, 1973, for signed operands.
    """
    return carry_save_add(_product_rows(a, w, signed))


@family(fast=lambda s: range(2))
def exact_booth(a: Word, w: Word, *, signed: bool, fast: int) -> Word:
    """Radix-4 Booth digits of w, half as many rows, in a Dadda tree.

    MacSorley, "High-Speed Arithmetic in Binary Computers", 1961 (modified Booth recoding).
    """
    return dadda_add(booth_products(a, w, signed), prefix_add if fast else ripple_add)


@family()
@on_magnitudes
def exact_magnitude(a: Word, w: Word) -> Word:
    """Signs and magnitudes apart: an unsigned Dadda tree between negations, in which values about zero toggle few bits.

    Number representation for low power: Chandrakasan and Brodersen, Proc. IEEE, 1995.
    """
    return dadda_add(partial_products(a, w, False))


@family()
@on_magnitudes
def exact_multiples(a: Word, w: Word) -> Word:
    """Radix-4 digits of |w| select 0, |a|, 2 |a| or 3 |a|: half as many rows, and no negative digit.

    3 |a| reads one operand only, so an array makes it once a row (``dot_form``). Radix-4 digits without
    recoding: MacSorley, "High-Speed Arithmetic in Binary Computers", 1961.
    """
    once, twice = [*a, 0, 0], [0, *a, 0]
    thrice = ripple_add(once, twice)
    columns: Columns = [[] for _ in range(len(a) + len(w))]
    for place in range(0, len(w), 2):
        low, high = w[place], w[place + 1] if place + 1 < len(w) else 0
        one, two, three = low & (high ^ 1), high & (low ^ 1), low & high
        row = [(one & x) | (two & y) | (three & z) for x, y, z in zip(once, twice, thrice, strict=True)]
        add_word(columns, row, place)
    return dadda_add(columns)


def _product_rows(a: Word, w: Word, signed: bool) -> list[Word]:
    """Row j holds the products of w[j]; one more row holds the constants."""
    columns = partial_products(a, w, signed)
    words: list[Word] = [[0] * len(columns) for _ in range(len(w) + 1)]
    for weight, column in enumerate(columns):
        for i, bit in enumerate(column, max(0, weight - len(w) + 1)):  # products come in order of a[i]
            words[weight - i if i <= min(weight, len(a) - 1) else -1][weight] = bit
    return words


exact.register()
exact.register(fast=1)
exact_array.register()
exact_wallace.register(fast=(0, 1))
exact_booth.register(fast=(0, 1))
exact_magnitude.register(signed=True)
exact_multiples.register(signed=True)
for _widths in ((4, 4), (8, 2), (8, 4)):
    exact.register(widths=_widths)
