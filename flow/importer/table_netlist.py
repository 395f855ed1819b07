"""The netlist of a form that is only a table: a known cell and its correction where that is smaller than a diagram."""

import numpy as np

from slipstick.errors import UserError
from slipstick.rtl.cells import Cell, Netlist, registry
from slipstick.rtl.cells.bits import AnyBit

from .decision import synthesise
from .forms import Form

PROBES = 1024
LARGEST_TABLE = 20  # bits of both operands together


def netlist_of(form: Form, signed: bool) -> tuple[Netlist, str]:
    """The netlist of a form's table, and a note on how it came about.

    The known cell of the same operands that is wrong in fewest product bits gives its gates, and a diagram the bits to
    invert; or a diagram gives it all, where that has fewer gates. UserError beyond 20 bits of operands.
    """
    if sum(form.widths) > LARGEST_TABLE:
        raise UserError(f"{form.source} has operands of {form.widths[0]} and {form.widths[1]} bits; gates can be made "
                        f"from up to {LARGEST_TABLE} together: give the Verilog too")  # fmt: skip
    a, w = (index.ravel() for index in np.indices(tuple(1 << width for width in form.widths)))
    bits = form.bits(a, w).astype(np.uint32)
    base = _nearest(form, signed)
    netlist, diagram = synthesise(bits, form.widths)
    note = f"{form.source} has no gates: {diagram.size} multiplexers compute it"
    if base is not None:
        wrong = bits ^ base.netlist.evaluate(a, w).astype(np.uint32)
        corrected = _correct(base.netlist, synthesise(wrong, form.widths)[0])
        if len(corrected.gates) < len(netlist.gates):
            pairs = int(np.count_nonzero(wrong))
            netlist = corrected
            note = f"{form.source} has no gates: it equals cell {base.name!r}, whose gates it gets"
            if pairs:
                note = f"{form.source} has no gates: those of cell {base.name!r}, corrected on {pairs:,} pairs"
    return netlist, f"{note} ({len(netlist.gates)} gates); their power is not that of the circuit it came from"


def _nearest(form: Form, signed: bool) -> Cell | None:
    """The registered cell of the same operands with fewest wrong product bits on some random pairs."""
    random = np.random.default_rng(0)
    a, w = (random.integers(0, 1 << width, PROBES) for width in form.widths)
    wanted = form.bits(a, w).astype(np.uint64)
    best, fewest = None, PROBES * sum(form.widths)
    for cell in registry.registered():
        if cell.signed == signed and cell.widths == form.widths:
            wrong = int(np.bitwise_count(cell.netlist.evaluate(a, w) ^ wanted).sum())
            if wrong < fewest:
                best, fewest = cell, wrong
    return best


def _correct(base: Netlist, correction: Netlist) -> Netlist:
    """Both netlists side by side, their outputs combined by XOR."""

    def product(a: list[AnyBit], w: list[AnyBit]) -> list[AnyBit]:
        pairs = zip(base.apply(a, w), correction.apply(a, w), strict=True)
        return [bit ^ invert for bit, invert in pairs]

    return Netlist.trace(product, base.widths)
