"""The forms in which a cell comes: each gives product bits for operand bits."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from slipstick.errors import UserError
from slipstick.rtl.cells.netlist import Netlist

WIDTHS = range(2, 17)
"""Operand widths that can be imported."""
ALL_PAIRS = 24
"""Bits of both operands together up to which everything is done on all pairs."""
SAMPLE = 1 << 20
CHUNK = 1 << 18
READING_BITS = 16
DOUBT = 6  # a product that is always 0 is 4 times nearer to a signed one, and says nothing


@dataclass(frozen=True)
class Form:
    """One description of a cell, read from the user's ``source``.

    ``bits(a, w)`` gives the product's low wa + ww bits for operand *bits*, int64 [n] each. ``signed`` is what the
    source itself says, None when it does not. ``netlist`` is there where the source describes gates. ``name`` is what
    the source calls the cell.
    """

    source: str
    widths: tuple[int, int]
    bits: Callable[[np.ndarray, np.ndarray], np.ndarray] = field(repr=False)
    signed: bool | None = None
    netlist: Netlist | None = field(default=None, repr=False)
    name: str = ""
    notes: tuple[str, ...] = ()


def check_widths(widths: tuple[int, int], source: str) -> None:
    """UserError unless both operand widths can be imported."""
    if any(width not in WIDTHS for width in widths):
        raise UserError(
            f"{source} has operands of {widths[0]} and {widths[1]} bits; cells have {WIDTHS[0]} to {WIDTHS[-1]}"
        )


def operand_pairs(widths: tuple[int, int], seed: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Operand bits (a, w) in chunks: all pairs up to 24 bits together, else corners and 2^20 random pairs."""
    width_a, width_w = widths
    if width_a + width_w <= ALL_PAIRS:
        for start in range(0, 1 << (width_a + width_w), CHUNK):
            pairs = np.arange(start, min(start + CHUNK, 1 << (width_a + width_w)))
            yield pairs >> width_w, pairs & ((1 << width_w) - 1)
        return
    corners = [sorted({0, 1, 2, half - 1, half, half + 1, 2 * half - 2, 2 * half - 1})
               for half in (1 << (width_a - 1), 1 << (width_w - 1))]  # fmt: skip
    a, w = np.meshgrid(*corners, indexing="ij")
    yield a.ravel(), w.ravel()
    random = np.random.default_rng(seed)
    for _ in range(SAMPLE // CHUNK):
        yield random.integers(0, 1 << width_a, CHUNK), random.integers(0, 1 << width_w, CHUNK)


def as_values(bits: np.ndarray, width: int, signed: bool) -> np.ndarray:
    """Integers that words of ``width`` bits stand for, int64."""
    bits = np.asarray(bits).astype(np.int64)
    return bits - ((bits >> (width - 1)) << width) if signed else bits


def closest_reading(form: Form) -> tuple[bool, float, float]:
    """Whether a form is nearer to a signed multiplier, and its mean |error| read as signed and as unsigned.

    A multiplier read the wrong way is off by about a quarter of the range, so this is hardly ever in doubt, and some
    65,536 pairs are enough.
    """
    width_a, width_w = form.widths
    if width_a + width_w <= READING_BITS:
        a, w = next(operand_pairs(form.widths))
    else:
        random = np.random.default_rng(0)
        a, w = (random.integers(0, 1 << width, 1 << READING_BITS) for width in form.widths)
    product = form.bits(a, w)
    signed_mae, unsigned_mae = (
        float(np.abs(as_values(product, width_a + width_w, signed)
                     - as_values(a, width_a, signed) * as_values(w, width_w, signed)).mean())
        for signed in (True, False)
    )  # fmt: skip
    return signed_mae < unsigned_mae, signed_mae, unsigned_mae


def decide_signed(forms: Sequence[Form], wanted: bool | None) -> tuple[bool, str | None]:
    """Signedness: what the user wants, else what a source says, else the nearer reading, with a note."""
    known = [signed for signed in (wanted, *(form.signed for form in forms)) if signed is not None]
    if known:
        return known[0], None
    form = forms[0]
    signed, signed_mae, unsigned_mae = closest_reading(form)
    low, high = sorted((signed_mae, unsigned_mae))
    if high < DOUBT * low or high == 0:
        raise UserError(f"{form.source} reads as signed (MAE {signed_mae:.4g}) or unsigned (MAE {unsigned_mae:.4g}); "
                        "say which with --signed or --unsigned")  # fmt: skip
    chosen, other = ("signed", "unsigned") if signed else ("unsigned", "signed")
    return signed, f"read as {chosen}: MAE {low:.4g}; as {other} it would be {high:.4g}"
