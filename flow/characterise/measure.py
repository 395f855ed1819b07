"""What a cell costs once mapped to a library, and how it errs on a workload."""

from dataclasses import asdict, dataclass

import numpy as np

from slipstick.flow.cost.multiplier import MULTIPLIER, multiplier_verilog
from slipstick.flow.cost.unit import MappingError
from slipstick.flow.library.liberty import Liberty
from slipstick.flow.power.activity import simulate
from slipstick.flow.power.equivalence import proved_equal
from slipstick.flow.power.gates import check_against_table
from slipstick.flow.power.power import power_model
from slipstick.flow.power.synth import synthesise, tool_versions
from slipstick.rtl.cells.cell import Cell
from slipstick.sources import code_digest
from slipstick.store import Store, digest

from .operands import Operands

ALL_PAIRS = 16  # operand bits together up to which mapped gates are compared on all pairs; beyond it SAT proves them


@dataclass(frozen=True)
class MultiplierCost:
    """A multiplier mapped alone: energy of an operation on the operands' sequences, area, delay, gates.

    ``leakage_fj`` is the part of the energy that leaks in one clock period. Zero-delay activity.
    """

    energy_fj: float
    leakage_fj: float
    area_um2: float
    delay_ps: float
    gate_count: int


@dataclass(frozen=True)
class WeightedErrors:
    """Errors over all operand pairs, each pair weighted by how often the workload multiplies it."""

    mae: float
    mse: float
    bias: float
    ep: float


def weighted_errors(cell: Cell, operands: Operands) -> WeightedErrors:
    """Errors of a cell under the operands' shares. Raises UserError for operands of other widths.

    Cells too wide for a table are taken to see every code equally often.
    """
    operands.check_fits(cell)
    if sum(cell.widths) > ALL_PAIRS:
        plain = cell.errors
        return WeightedErrors(plain.mae, plain.mse, plain.bias, plain.ep)
    error = (cell.table - cell.exact).astype(np.float64)
    mean = operands.mean
    return WeightedErrors(mean(np.abs(error)), mean(error**2), mean(error), mean(error != 0))


def multiplier_cost(
    cell: Cell, operands: Operands, liberty: Liberty, *, clock_mhz: float, store: Store | None = None
) -> MultiplierCost:
    """Map a cell's own gates (Yosys, in a child process) and simulate them on the operands; kept by content.

    Raises UserError for operands of other widths, MappingError where the mapped gates differ from the table.
    """
    operands.check_fits(cell)
    key = digest(cell.digest, liberty.digest, clock_mhz, operands.digest, tool_versions(), code_digest(__name__))
    found = (store or Store("multipliers")).json(
        key, lambda: asdict(design_cost(multiplier_verilog(cell), cell, operands, liberty, 1e6 / clock_mhz))
    )
    return MultiplierCost(**found)


def design_cost(
    verilog: str,
    cell: Cell,
    operands: Operands,
    liberty: Liberty,
    clock_ps: float,
    *,
    target_ps: float | None = None,
    booth: bool = False,
    alumacc: bool = False,
) -> MultiplierCost:
    """Cost of a module MULTIPLIER with ports a, w and product that gives the products of ``cell``.

    ``target_ps`` is the delay that mapping aims at, one clock period unless given; leakage counts for
    ``clock_ps`` in any case.
    """
    mapped = synthesise(verilog, MULTIPLIER, liberty, clock_ps=target_ps or clock_ps, booth=booth, alumacc=alumacc)
    power = power_model(mapped, liberty, clock_ps)
    if sum(cell.widths) > ALL_PAIRS:
        wrong = 0 if proved_equal(verilog, mapped, power.netlist) else "some"
    else:
        wrong = check_against_table(power.netlist, cell)
    if wrong:
        raise MappingError(f"the mapped gates of {cell.name!r} differ from its table on {wrong} operand pairs")
    segments, length = operands.activations.shape
    words = {
        "a": operands.activations.ravel().astype(np.int64),
        "w": np.repeat(operands.weights, length).astype(np.int64),
    }
    total = power.report(simulate(power.netlist, words, segments=segments)).total
    return MultiplierCost(total.total_fj, total.leakage_fj, mapped.area_um2, power.timing.delay_ps, mapped.gate_count)
