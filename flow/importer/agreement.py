"""Several forms of one cell must agree on all operand pairs."""

from collections.abc import Sequence

import numpy as np

from slipstick.errors import UserError

from .forms import ALL_PAIRS, Form, as_values, operand_pairs

SHOWN = 3


def check_agreement(forms: Sequence[Form], signed: bool) -> list[str]:
    """Compare every form with the first on all pairs; returns a note for each.

    Beyond 24 bits of operands the pairs are corners and 2^20 random ones, and the note says so. UserError shows how
    many pairs differ, in which quadrants of the operands' signs, and the first of them.
    """
    first, notes = forms[0], []
    for other in forms[1:]:
        if other.widths != first.widths:
            raise UserError(f"{first.source} has operands of {first.widths} bits, {other.source} of {other.widths}")
        if None not in (first.signed, other.signed) and first.signed != other.signed:
            kinds = ["signed" if form.signed else "unsigned" for form in (first, other)]
            raise UserError(f"{first.source} is {kinds[0]}, {other.source} is {kinds[1]}")
        notes.append(_compare(first, other, signed))
    return notes


def _compare(first: Form, other: Form, signed: bool) -> str:
    total, found = 0, []
    for a, w in operand_pairs(first.widths):
        left, right = first.bits(a, w).astype(np.int64), other.bits(a, w).astype(np.int64)
        total += len(a)
        wrong = np.flatnonzero(left != right)
        values = [as_values(operand[wrong], width, signed) for operand, width in zip((a, w), first.widths, strict=True)]
        products = [as_values(product[wrong], sum(first.widths), signed) for product in (left, right)]
        found.append(np.stack([*values, *products]))
    a, w, left, right = np.concatenate(found, axis=1)
    pairs = f"all {total:,} pairs" if sum(first.widths) <= ALL_PAIRS else f"{total:,} of 2^{sum(first.widths)} pairs"
    if not len(a):
        return f"{first.source} and {other.source} agree on {pairs}"
    shown = "; ".join(f"{a[i]} x {w[i]} is {left[i]} and {right[i]}" for i in range(min(SHOWN, len(a))))
    where = f"{', '.join(_quadrants(a, w))}; " if signed else ""
    raise UserError(
        f"{first.source} and {other.source} differ on {len(a):,} of {total:,} pairs ({where}first: {shown})"
    )


def _quadrants(a: np.ndarray, w: np.ndarray) -> list[str]:
    """How many pairs lie in which quadrant of signs, such as ``12,414 negative x negative``."""
    names = ("non-negative", "negative")
    counts = {f"{names[x]} x {names[y]}": int((((a < 0) == x) & ((w < 0) == y)).sum()) for x in (1, 0) for y in (1, 0)}
    return [f"{count:,} {name}" for name, count in counts.items() if count]
