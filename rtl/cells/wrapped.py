"""Unsigned multipliers for signed operands: magnitudes in, the sign put back, all as gates of one netlist."""

from functools import cache

import numpy as np

from slipstick.errors import UserError

from .bits import Word, on_magnitudes
from .cell import Cell

SUFFIX = "_on_magnitudes"
"""What follows the name of an unsigned cell in that of the signed cell around it."""
ARRAY_WIDTHS = (8, 8)


@cache
def on_signed_operands(cell: Cell) -> Cell:
    """The signed cell around an unsigned one: product = sign(a) sign(w) cell(|a|, |w|), its negations in the netlist.

    The magnitude of the least operand -2^(n-1) is 2^(n-1), which n unsigned bits hold. UserError where a product of
    such magnitudes needs the bit of the sign.
    """
    magnitudes = [np.arange((1 << (width - 1)) + 1) for width in cell.widths]
    greatest = max(int(cell.products(a, magnitudes[1]).max()) for a in magnitudes[0][:, None])
    if greatest >> (cell.product_width - 1):
        raise UserError(
            f"cell {cell.name!r} is unsigned and gives {greatest} for some operands up to {magnitudes[0][-1]}; "
            f"between negations its products must stay below {1 << (cell.product_width - 1)}"
        )

    @on_magnitudes
    def product(a: Word, w: Word, /) -> Word:
        return cell.netlist.apply(a, w)

    return Cell.trace(
        f"{cell.name}{SUFFIX}", cell.family, lambda a, w: product(a, w, signed=True), widths=cell.widths, signed=True
    )


def for_arrays(cell: Cell) -> Cell:
    """The signed 8 x 8 cell that layers and arrays get for this one: itself, or the one around an unsigned cell.

    UserError for operands of another width.
    """
    if cell.widths != ARRAY_WIDTHS:
        size = "{} x {}".format(*cell.widths)
        raise UserError(f"cell {cell.name!r} is {size}, and layers and arrays take 8 x 8 cells such as 'exact8s'")
    return signed_form(cell)


def signed_form(cell: Cell) -> Cell:
    """A signed cell as it is, the signed one around an unsigned one."""
    return cell if cell.signed else on_signed_operands(cell)
