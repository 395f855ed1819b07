"""Every figure of a set of cells, computed in parallel, kept by content."""

import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from slipstick.errors import show_notices_plainly
from slipstick.flow.cost.baseline import BASELINE, EXACT_CELLS
from slipstick.flow.cost.cost import CLOCK_MHZ, CostModel
from slipstick.flow.cost.figures import OF_ARRAY, OF_MAC, Levels
from slipstick.flow.library.liberty import Liberty, default_liberty
from slipstick.flow.power.delays import Delays
from slipstick.flow.power.synth import tool_versions
from slipstick.model.kernels.factor import rank
from slipstick.rtl.cells.cell import Cell
from slipstick.rtl.cells.registry import cell as find_cell
from slipstick.rtl.spec.cycles import Shape
from slipstick.sources import code_digest
from slipstick.store import Store, digest

from .exact import ExactPoint, Kind, best_at, exact_points
from .front import front
from .measure import ALL_PAIRS, MultiplierCost, WeightedErrors, multiplier_cost, weighted_errors
from .operands import Operands, uniform_operands
from .recorded import shipped_operands

WORKERS = 2
_LAYER = "workload"
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Row:
    """Figures of one cell.

    ``rank`` of its table over the rationals, None for cells too wide for one; ``mac_fj``, ``array_fj`` and
    ``inference_fj`` a MAC for signed 8 x 8 cells, the only ones that arrays take.
    """

    cell: Cell
    rank: int | None
    weighted: WeightedErrors
    cost: MultiplierCost
    mac_fj: float | None
    array_fj: float | None
    inference_fj: float | None


@dataclass(frozen=True)
class Characterisation:
    """A set of cells beside the exact designs of their kind.

    Kinds are (signed, widths): cells of one kind compare with the exact designs of that kind. ``exact_levels``
    is the energy of a MAC of the best exact cell in its dot column, in the array and in the whole inference.
    """

    rows: tuple[Row, ...]
    exact: dict[Kind, list[ExactPoint]]
    exact_levels: Levels | None
    clock_mhz: float
    notes: tuple[str, ...]

    def saving(self, row: Row) -> Levels:
        """Fractions saved: of the multiplier against the best exact one at equal delay, of dot column, array and
        inference at the clock. The last three are not a number for cells that arrays do not take."""
        kind = row.cell.signed, row.cell.widths
        multiplier = 1 - row.cost.energy_fj / best_at(self.exact[kind], row.cost.delay_ps).cost.energy_fj
        nan = float("nan")
        if row.mac_fj is None or row.array_fj is None or row.inference_fj is None or self.exact_levels is None:
            return Levels(multiplier, nan, nan, nan)
        exact = self.exact_levels
        pairs = (row.mac_fj, exact.mac), (row.array_fj, exact.array), (row.inference_fj, exact.inference)
        return Levels(multiplier, *(1 - own / best for own, best in pairs))

    @cached_property
    def fronts(self) -> dict[str, set[str]]:
        """Names on the front of energy against each kind of error, among cells of their kind."""
        found: dict[str, set[str]] = {"mae": set(), "weighted_mae": set()}
        for kind in {(row.cell.signed, row.cell.widths) for row in self.rows}:
            rows = [row for row in self.rows if (row.cell.signed, row.cell.widths) == kind]
            for title, error in (("mae", lambda r: r.cell.errors.mae), ("weighted_mae", lambda r: r.weighted.mae)):
                found[title] |= set(front({row.cell.name: (row.cost.energy_fj, error(row)) for row in rows}))
        return found


def characterise(
    cells: Sequence[Cell],
    *,
    liberty: Liberty | None = None,
    clock_mhz: float = CLOCK_MHZ,
    operands: Operands | None = None,
    workers: int = WORKERS,
    progress: Progress | None = None,
    exact_progress: Progress | None = None,
) -> Characterisation:
    """Figures of all cells; ``progress(done, total, name)`` counts them, ``exact_progress`` the exact designs.

    ``operands``: what signed 8 x 8 cells multiply, the shipped network's unless given; unsigned ones get their
    magnitudes, other widths uniform operands. A cell's figures are kept as soon as it is done.
    """
    liberty, operands = liberty or default_liberty(), operands or shipped_operands()
    store = Store("characterised")
    keys = {one.name: _key(one, _operands_for(one.signed, one.widths, operands), liberty, clock_mhz) for one in cells}
    kept = {one.name: store.get(keys[one.name]) for one in cells}
    missing = [one for one in cells if kept[one.name] is None]
    kinds = dict.fromkeys((one.signed, one.widths) for one in cells)
    # First: every cell is costed beside the exact ones, which two processes would map twice.
    levels = _exact_levels(operands, liberty, clock_mhz) if (True, (8, 8)) in kinds and operands.tiles else None
    exact = {
        kind: exact_points(
            kind, _operands_for(*kind, operands), liberty, clock_mhz=clock_mhz, workers=workers, progress=exact_progress
        )
        for kind in kinds
    }
    if missing:
        total = len(missing)
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(workers, total), context, _start, (liberty, operands, clock_mhz)) as pool:
            try:
                waiting: dict[Future[dict[str, Any]], str] = {}
                for one in missing:
                    waiting[pool.submit(_measure, one, keys[one.name])] = one.name
                for done, future in enumerate(as_completed(waiting), 1):
                    kept[waiting[future]] = future.result()
                    if progress:
                        progress(done, total, waiting[future])
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    rows = tuple(_row(one, kept[one.name]) for one in cells)
    notes = (
        f"{liberty.describe()}, {clock_mhz:g} MHz, {tool_versions()}, {Delays.ZERO.value}",
        f"workload: {operands.name}; unsigned cells see its magnitudes, widths other than 8 x 8 uniform operands",
        "savings: multiplier against the best exact one at equal delay; dot column, array and inference at the clock",
    )
    return Characterisation(rows, exact, levels, clock_mhz, notes)


def _operands_for(signed: bool, widths: tuple[int, int], operands: Operands) -> Operands:
    """The operands that a cell of this kind sees."""
    if tuple(1 << width for width in widths) != tuple(count.size for count in operands.counts):
        return uniform_operands(widths)
    return operands if signed else operands.magnitudes()


def _key(cell: Cell, operands: Operands, liberty: Liberty, clock_mhz: float) -> str:
    return digest(cell.digest, operands.digest, liberty.digest, clock_mhz, tool_versions(), code_digest(__name__))


def _row(cell: Cell, found: dict[str, Any]) -> Row:
    return Row(
        cell, found["rank"], WeightedErrors(**found["weighted"]), MultiplierCost(**found["cost"]),
        found["mac_fj"], found["array_fj"], found["inference_fj"],
    )  # fmt: skip


_setting: tuple[Liberty, Operands, float]


def _start(*setting: Any) -> None:
    global _setting
    _setting = setting
    show_notices_plainly()


def _measure(cell: Cell, key: str) -> dict[str, Any]:
    """In a worker: every figure of one cell, kept in the store too."""
    liberty, operands, clock_mhz = _setting
    own = _operands_for(cell.signed, cell.widths, operands)

    def compute() -> dict[str, Any]:
        inference = parts = None
        if cell.signed and cell.widths == (8, 8) and own.tiles:
            levels = _levels([cell], own, liberty, clock_mhz)
            inference = levels.inference_fj(cell.name, _LAYER)
            parts = levels.mac_parts_fj(cell.name, _LAYER)
        return {
            "rank": rank(cell.table) if sum(cell.widths) <= ALL_PAIRS else None,
            "weighted": asdict(weighted_errors(cell, own)),
            "cost": asdict(multiplier_cost(cell, own, liberty, clock_mhz=clock_mhz)),
            "mac_fj": sum(parts[part] for part in OF_MAC) if parts else None,
            "array_fj": sum(parts[part] for part in OF_ARRAY) if parts else None,
            "inference_fj": inference,
        }

    found: dict[str, Any] = Store("characterised").json(key, compute)
    return found


def _levels(cells: Iterable[Cell], operands: Operands, liberty: Liberty, clock_mhz: float) -> CostModel:
    rows, columns = operands.tiles[0].weights.shape
    shape = Shape(round(operands.rows_per_tile), rows, columns)
    return CostModel.build(
        list(cells), {_LAYER: operands.tiles}, {_LAYER: shape}, liberty=liberty, clock_mhz=clock_mhz, rows=rows,
        columns=columns,
    )  # fmt: skip


def _exact_levels(operands: Operands, liberty: Liberty, clock_mhz: float) -> Levels:
    """Energy of a MAC at each level of the best exact cell, kept by content."""
    key = digest(
        [find_cell(name).digest for name in EXACT_CELLS], operands.digest, liberty.digest, clock_mhz,
        tool_versions(), code_digest(__name__),
    )  # fmt: skip

    def compute() -> dict[str, float]:
        found = _levels([], operands, liberty, clock_mhz).layer_figures(BASELINE, _LAYER)
        return {level: 1e6 * value / found.macs for level, value in asdict(found.levels).items()}

    return Levels(**Store("characterised").json(key, compute))
