"""Families that drop partial products: exact, truncated, broken-array.

Sums are Dadda trees over Baugh-Wooley partial products; signed and unsigned alike.
"""

from .bits import AnyBit, add_constant, dadda_add, partial_products
from .netlist import BitFunction
from .registry import register


def exact(*, width: int, signed: bool) -> BitFunction:
    """Every partial product."""
    return lambda a, w: dadda_add(partial_products(a, w, signed))


def truncated(*, width: int, signed: bool, k: int, c: int = 0) -> BitFunction:
    """Drop the ``k`` lowest columns; ``c`` = 1 adds their mean as a constant.

    Schulte and Swartzlander, "Truncated Multiplication with Correction Constant", 1993. The mean is
    that of uniform operand bits: a quarter of each dropped product's weight, rounded to the lowest
    kept column, with opposite sign for the products that carry one sign bit.
    """
    mean = 0.0
    for i in range(width):
        for j in range(width):
            if i + j < k:
                inverted = signed and ((i == width - 1) != (j == width - 1))
                mean += (-1 if inverted else 1) * 2.0 ** (i + j) / 4
    constant = round(mean / (1 << k)) << k

    def product(a: list[AnyBit], w: list[AnyBit]) -> list[AnyBit]:
        columns = partial_products(a, w, signed, keep=lambda i, j: i + j >= k)
        if c:
            add_constant(columns, constant)
        return dadda_add(columns)

    return product


def broken_array(*, width: int, signed: bool, h: int, v: int) -> BitFunction:
    """Drop the carry-save cells of the ``h`` lowest rows of w and of the ``v`` lowest columns.

    Mahdiani et al., "Bio-Inspired Imprecise Computational Blocks", TCAS-I 2010.
    """
    return lambda a, w: dadda_add(partial_products(a, w, signed, keep=lambda i, j: j >= h and i + j >= v))


for _signed in (True, False):
    register("exact", exact, signed=_signed)
    for _k in range(1, 11):
        register("truncated", truncated, signed=_signed, k=_k)
    for _k in range(3, 11):
        register("truncated", truncated, signed=_signed, k=_k, c=1)
    for _h, _v in ((1, 4), (1, 6), (2, 4), (2, 6), (2, 8), (3, 6), (3, 8), (4, 8)):
        register("broken_array", broken_array, signed=_signed, h=_h, v=_v)
