"""Exact multipliers of every form and speed: what an approximate one must beat at equal delay."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial

from slipstick.flow.cost.multiplier import multiplier_verilog, operator_verilog
from slipstick.flow.library.liberty import Liberty
from slipstick.flow.power.synth import tool_versions
from slipstick.rtl.cells.cell import Cell
from slipstick.rtl.cells.registry import build, names
from slipstick.rtl.cells.registry import cell as find_cell
from slipstick.sources import code_digest
from slipstick.store import Store, digest

from .measure import ALL_PAIRS, MultiplierCost, design_cost
from .operands import Operands


@dataclass(frozen=True)
class Form:
    """A ``product`` in Verilog, and Yosys' options that build its multiplier."""

    name: str
    product: str = "a * w"
    booth: bool = False
    alumacc: bool = False


FORMS = (
    Form("yosys default", alumacc=True),
    Form("yosys -noalumacc"),
    Form("yosys -booth -noalumacc", booth=True),
    Form("yosys -booth -noalumacc, w * a", product="w * a", booth=True),
    Form("yosys -booth", booth=True, alumacc=True),
)
SPEED_UPS = (1.0, 0.8)
"""Delays that mapping aims at, as fractions of what the form has at the clock: ABC finds nothing faster below."""
Progress = Callable[[int, int, str], None]
Kind = tuple[bool, tuple[int, int]]  # signed, widths


@dataclass(frozen=True)
class ExactPoint:
    """An exact multiplier: how it was made, and its cost."""

    form: str
    cost: MultiplierCost


def exact_cells(signed: bool, widths: tuple[int, int]) -> list[Cell]:
    """The registered cells of a kind that never err, or the family's own where none is registered."""
    plain = build("exact", width=widths, signed=signed)
    found = [find_cell(name) for name in names("exact*") if name.partition("_fast")[0].endswith(plain.name[5:])]
    return [one for one in found if (one.signed, one.widths) == (signed, widths) and one.errors.wce == 0] or [plain]


def exact_points(
    kind: Kind,
    operands: Operands,
    liberty: Liberty,
    *,
    clock_mhz: float,
    workers: int = 2,
    progress: Progress | None = None,
    store: Store | None = None,
) -> list[ExactPoint]:
    """Every exact cell of a kind and every form of Verilog's ``*``, mapped for the clock and for speed; kept."""
    cells = exact_cells(*kind)
    forms = [form for form in FORMS if sum(kind[1]) <= ALL_PAIRS]  # no SAT solver proves Booth's wide
    key = digest(
        [(one.name, one.digest) for one in cells], [asdict(form) for form in forms], liberty.digest, clock_mhz,
        operands.digest, tool_versions(), SPEED_UPS, code_digest(__name__),
    )  # fmt: skip

    def at_speeds(design: Cell | Form) -> list[tuple[str, dict]]:
        if isinstance(design, Cell):
            cost = partial(design_cost, multiplier_verilog(design), design)
        else:
            verilog = operator_verilog(cells[0], design.product)
            cost = partial(design_cost, verilog, cells[0], booth=design.booth, alumacc=design.alumacc)
        costs: list[tuple[str, dict]] = []
        target = clock_ps = 1e6 / clock_mhz
        for part in SPEED_UPS:
            if costs:
                target = part * costs[0][1]["delay_ps"]
            found = asdict(cost(operands, liberty, clock_ps, target_ps=target))
            costs.append((f"{design.name}, mapped for {target:.0f} ps", found))
        return costs

    def sweep() -> list[tuple[str, dict]]:
        designs: list[Cell | Form] = [*cells, *forms]
        found = []
        with ThreadPoolExecutor(workers) as pool:  # threads wait; the work is in child processes
            for done, costs in enumerate(pool.map(at_speeds, designs), 1):
                found += costs
                if progress:
                    progress(done, len(designs), designs[done - 1].name)
        return found

    return [ExactPoint(form, MultiplierCost(**cost)) for form, cost in (store or Store("exact")).json(key, sweep)]


def best_at(points: Sequence[ExactPoint], delay_ps: float) -> ExactPoint:
    """The exact multiplier of least energy among those as fast as ``delay_ps``; the fastest where none is."""
    fast = [point for point in points if point.cost.delay_ps <= delay_ps]
    if not fast:
        return min(points, key=lambda point: point.cost.delay_ps)
    return min(fast, key=lambda point: point.cost.energy_fj)
