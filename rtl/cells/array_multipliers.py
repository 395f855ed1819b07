"""Families that drop or merge partial products: truncated, broken-array, perforated, merged.

Sums are Dadda trees over Baugh-Wooley partial products; signed and unsigned alike.
"""

from .bits import Word, any_of
from .columns import Columns, add_constant, counts_down, dadda_add, partial_products
from .registry import family

NONE, CONSTANT, VARIABLE = range(3)  # corrections of a truncated multiplier


@family(k=lambda s: range(1, s.wa + s.ww - 1), c=lambda s: range(3))
def truncated(a: Word, w: Word, *, signed: bool, k: int, c: int) -> Word:
    """Drop the ``k`` lowest columns; ``c`` = 1 adds their mean, ``c`` = 2 the highest of them once more.

    Constant correction: Schulte and Swartzlander, "Truncated Multiplication with Correction
    Constant", 1993; the mean is that of uniform operand bits, a quarter of each dropped product's
    weight, rounded to the lowest kept column. Variable correction: King and Swartzlander,
    "Data-Dependent Truncation Scheme for Parallel Multipliers", 1997; the products of column k - 1
    enter column k, which stands for the mean of all that is dropped.
    """

    def place(i: int, j: int) -> int | None:
        return k if c == VARIABLE and i + j == k - 1 else i + j if i + j >= k else None

    columns = partial_products(a, w, signed, place)
    if c == CONSTANT:
        dropped = [(i, j) for i in range(len(a)) for j in range(len(w)) if i + j < k]
        mean = sum((-1 if signed and counts_down(a, w, i, j) else 1) * 2.0 ** (i + j) / 4 for i, j in dropped)
        add_constant(columns, round(mean / (1 << k)) << k)
    return dadda_add(columns)


@family(h=lambda s: range(s.ww), v=lambda s: range(s.wa + s.ww - 1))
def broken_array(a: Word, w: Word, *, signed: bool, h: int, v: int) -> Word:
    """Drop the carry-save cells of the ``h`` lowest rows of w and of the ``v`` lowest columns.

    Mahdiani et al., "Bio-Inspired Imprecise Computational Blocks", TCAS-I 2010.
    """
    return dadda_add(partial_products(a, w, signed, lambda i, j: i + j if j >= h and i + j >= v else None))


@family(j=lambda s: range(s.ww - 1), k=lambda s: range(1, s.ww - s.j))
def perforated(a: Word, w: Word, *, signed: bool, j: int, k: int) -> Word:
    """Leave out ``k`` successive rows of partial products from row ``j`` on: bits of w that count as zero.

    Zervakis et al., "Design-Efficient Approximate Multiplication Circuits Through Partial Product
    Perforation", TVLSI 2016.
    """
    return dadda_add(partial_products(a, w, signed, lambda i, row: None if j <= row < j + k else i + row))


@family(a=lambda s: range(s.wa), w=lambda s: range(s.ww))
def narrowed(a_bits: Word, w_bits: Word, /, *, signed: bool, a: int, w: int) -> Word:
    """Ignore the ``a`` lowest bits of operand a and the ``w`` lowest bits of operand w.

    The careful choice of operand widths that approximate operators must beat: Barrois, Sentieys and
    Menard, "The Hidden Cost of Functional Approximation Against Careful Data Sizing", DATE 2017.
    """
    return dadda_add(partial_products(a_bits, w_bits, signed, lambda i, j: i + j if i >= a and j >= w else None))


@family(d=lambda s: range(2, s.ww + 1))
def merged(a: Word, w: Word, *, signed: bool, d: int) -> Word:
    """Merge every ``d`` rows of w into one: OR of the bits of a column, in the less significant columns.

    Qiqieh et al., "Energy-Efficient Approximate Multiplier Design Using Bit Significance-Driven Logic
    Compression", DATE 2017: group p of an n-bit multiplier is merged up to column n - 1 + p. The
    layout is theirs for ``d`` = 2, the same rule for more rows.
    """
    groups: dict[tuple[int, int], Word] = {}
    columns: Columns = [[] for _ in range(len(a) + len(w))]

    def joins(i: int, j: int) -> bool:
        return i + j < len(a) + j // d and not (signed and counts_down(a, w, i, j))

    for j in range(len(w)):
        for i in range(len(a)):
            if joins(i, j):
                groups.setdefault((i + j, j // d), []).append(a[i] & w[j])
    for (column, _), bits in groups.items():
        columns[column].append(any_of(bits))
    rest = partial_products(a, w, signed, lambda i, j: None if joins(i, j) else i + j)
    return dadda_add([ours + theirs for ours, theirs in zip(columns, rest, strict=True)])


truncated.register(k=range(1, 11))
truncated.register(k=range(3, 11), c=CONSTANT)
truncated.register(k=range(3, 11), c=VARIABLE)
truncated.register(widths=(8, 4), k=(2, 4))
for _h, _v in ((1, (4, 6)), (2, (4, 6, 8)), (3, (6, 8)), (4, (8, 10)), (5, (8, 10))):
    broken_array.register(h=_h, v=_v)
for _j in range(4):
    perforated.register(j=_j, k=range(1, 5 - _j))
for _a, _w in ((1, 0), (1, 1), (2, 0), (2, 1), (1, 2), (2, 2), (3, 2), (2, 3), (3, 3)):
    narrowed.register(a=_a, w=_w)
merged.register(d=(2, 3, 4, 8))
