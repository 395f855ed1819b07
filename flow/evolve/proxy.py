"""Energy of gates before technology mapping, from a Liberty library: what the evolution's inner loop minimises.

Polarity counts as free: mapping moves inversions into gates (NAND, AOI, XNOR), so a kind costs what the
cheapest cell of its class does, AND with any inverted pins or XOR. Of array multipliers the estimate is
within 10 % of the mapped energy; of sign-magnitude forms it is up to a third too high.
"""

from dataclasses import dataclass

import numpy as np

from slipstick.errors import UserError
from slipstick.flow.library.boolean import parse
from slipstick.flow.library.cell import InternalPower, LibertyCell, Pin
from slipstick.flow.library.liberty import Liberty
from slipstick.flow.power.timing import INPUT_SLEW_PS
from slipstick.rtl.cells.netlist import NOT, XOR

from .genome import KINDS, XNOR

UNIT_FJ = 1e-3
_XOR_WITHOUT_CELL = 3  # gates of the AND class that make an XOR


@dataclass(frozen=True)
class GateCosts:
    """Energies in whole units of ``UNIT_FJ`` by kind of gate.

    ``output``: of a transition of the gate's output; ``input``: of one of an input; ``present``: leakage in a
    cycle, at least one unit, so that of two equally active gates the one that is not there wins. ``bit``: of
    each product bit, from the lowest up that is not always zero, in a cycle.
    """

    output: tuple[int, ...]
    input: tuple[int, ...]
    present: tuple[int, ...]
    bit: int = 0


def gate_costs(liberty: Liberty, clock_ps: float, bit_fj: float = 0.0) -> GateCosts:
    """Costs of the kinds of gates in a library; UserError where it has no inverter or no NAND-like cell.

    ``bit_fj`` is what a product bit costs outside the multiplier.
    """
    ands = _cheapest(liberty, clock_ps, 2, odd=True)
    xors = _cheapest(liberty, clock_ps, 2, odd=False)
    inverter = _cheapest(liberty, clock_ps, 1, odd=True)
    if ands is None or inverter is None:
        raise UserError(f"{liberty.name}: has no two-input gate or no inverter to estimate energies from")
    if xors is None:
        output, entering, leakage = (_XOR_WITHOUT_CELL * part for part in ands)
        xors = output, entering, leakage
    by_kind = [xors if kind in (XOR, XNOR) else inverter if kind == NOT else ands for kind in range(KINDS)]
    output_units, input_units, present = zip(*by_kind, strict=True)
    return GateCosts(output_units, input_units, present, bit=round(bit_fj / UNIT_FJ))


def _cheapest(liberty: Liberty, clock_ps: float, pins: int, *, odd: bool) -> tuple[int, int, int] | None:
    """Output, input and leakage units of the cheapest cell: NOT or AND-like (``odd``), or XOR-like."""
    found = [
        _figures(cell, liberty.voltage_v, clock_ps)
        for cell in liberty.cells.values()
        if cell.is_combinational and not cell.dont_use and len(cell.inputs) == pins and len(cell.outputs) == 1
        and _is_class(cell, odd)
    ]  # fmt: skip
    return min(found, key=lambda one: one[0] + pins * one[1], default=None)


def _is_class(cell: LibertyCell, odd: bool) -> bool:
    """One or three of four rows true: AND-like; two, not a copy of one pin: XOR-like; of one pin: its inverse."""
    names = [pin.name for pin in cell.inputs]
    function = parse(cell.outputs[0].function or "0")
    rows = [
        function.evaluate({n: (row >> i) & 1 for i, n in enumerate(names)}, 1) & 1 for row in range(1 << len(names))
    ]
    if len(names) == 1:
        return rows == [1, 0]
    return sum(rows) % 2 == 1 if odd else rows in ([0, 1, 1, 0], [1, 0, 0, 1])


def _figures(cell: LibertyCell, voltage_v: float, clock_ps: float) -> tuple[int, int, int]:
    pin_ff = float(np.mean([max(pin.capacitance_rise_ff, pin.capacitance_fall_ff) for pin in cell.inputs]))
    output = _internal(cell.outputs[0], 2 * pin_ff)
    entering = float(np.mean([_internal(pin, 0.0) for pin in cell.inputs])) + 0.5 * pin_ff * voltage_v**2
    leakage = cell.leakage_nw * clock_ps * 1e-6
    units = [round(value / UNIT_FJ) for value in (output, entering, leakage)]
    return max(units[0], 0), max(units[1], 0), max(units[2], 1)


def _internal(pin: Pin, load_ff: float) -> float:
    """Mean internal energy of a transition of a pin, fJ."""
    values = [_mean(arc, load_ff) for arc in pin.internal]
    return float(np.mean(values)) if values else 0.0


def _mean(arc: InternalPower, load_ff: float) -> float:
    return 0.5 * sum(table.at(INPUT_SLEW_PS, load_ff) for table in (arc.rise, arc.fall) if table)
