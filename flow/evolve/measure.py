"""What a cell really costs once mapped to a library: the figures that decide who stays in the archive."""

from dataclasses import asdict, dataclass

import numpy as np

from slipstick.flow.cost.cost import CLOCK_MHZ
from slipstick.flow.cost.element import MappingError
from slipstick.flow.library.liberty import Liberty
from slipstick.flow.power.activity import DELAY_MODEL, simulate
from slipstick.flow.power.gates import check_against_table
from slipstick.flow.power.power import power_model
from slipstick.flow.power.synth import synthesise
from slipstick.rtl.cells.cell import Cell
from slipstick.rtl.emit import to_verilog
from slipstick.rtl.multiplier import Multiplier
from slipstick.store import Store, digest

from .operands import Operands

TOP = "multiplier"
_RESULT_VERSION = 1


@dataclass(frozen=True)
class Measured:
    """Errors weighted by the operands, and the mapped multiplier: energy of an operation, area, delay.

    ``mae``, ``mse`` and ``bias`` are weighted means over all operand pairs; ``wce`` is over all pairs alike.
    """

    energy_fj: float
    area_um2: float
    delay_ps: float
    mae: float
    mse: float
    bias: float
    wce: int


def measure(
    cell: Cell, operands: Operands, liberty: Liberty, *, clock_mhz: float = CLOCK_MHZ, store: Store | None = None
) -> Measured:
    """Map a cell (Yosys, in a child process) and simulate it on the operands' sequences; kept by content.

    Raises UserError for operands of other widths, MappingError where the mapped gates differ from the table.
    """
    operands.check_fits(cell)
    key = digest(cell.digest, liberty.digest, clock_mhz, operands.digest, DELAY_MODEL, _RESULT_VERSION)
    found = (store or Store("evolved-energy")).json(key, lambda: asdict(_measure(cell, operands, liberty, clock_mhz)))
    return Measured(**found)


def _measure(cell: Cell, operands: Operands, liberty: Liberty, clock_mhz: float) -> Measured:
    clock_ps = 1e6 / clock_mhz
    mapped = synthesise(to_verilog(Multiplier(cell), TOP), TOP, liberty, clock_ps=clock_ps)
    power = power_model(mapped, liberty, clock_ps)
    wrong = check_against_table(power.netlist, cell)
    if wrong:
        raise MappingError(f"the mapped gates of {cell.name!r} differ from its table on {wrong} operand pairs")
    segments, length = operands.activations.shape
    inputs = {
        "a": operands.activations.ravel().astype(np.int64),
        "w": np.repeat(operands.weights, length).astype(np.int64),
    }
    report = power.report(simulate(power.netlist, inputs, segments=segments))
    error = (cell.table - cell.exact).astype(np.float64)
    return Measured(
        energy_fj=report.total.total_fj,
        area_um2=mapped.area_um2,
        delay_ps=power.timing.delay_ps,
        mae=operands.mean(np.abs(error)),
        mse=operands.mean(error**2),
        bias=operands.mean(error),
        wce=int(np.abs(error).max()),
    )
