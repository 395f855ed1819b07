"""The exact design that approximate cells must beat: the exact cell of least energy in the same accelerator."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from slipstick.errors import UserError
from slipstick.rtl.cells.cell import Cell
from slipstick.rtl.cells.registry import cell as find_cell

from .array import ArrayModel
from .figures import OF_MAC

BASELINE = "exact_baseline"
EXACT_CELLS = ("exact8s", "exact_array8s", "exact_booth8s", "exact_magnitude8s", "exact_multiples8s")
"""Dadda tree, array, Booth, and on magnitudes: Dadda tree, radix 4 with multiples shared by a row."""


@dataclass(frozen=True)
class Candidate:
    """One exact cell in the array: area of a MAC in um2, longest path in ps, mean energy of a MAC in fJ."""

    cell: str
    area_um2: float
    delay_ps: float
    mac_fj: float
    inference_fj: float


@dataclass(frozen=True)
class ExactBaseline:
    """All candidates, and the name of the best that meets the clock."""

    candidates: tuple[Candidate, ...]
    chosen: str


def exact_cells() -> list[Cell]:
    """The cells that compete."""
    return [find_cell(name) for name in EXACT_CELLS]


def exact_candidates(model: ArrayModel, layers: Iterable[str]) -> tuple[Candidate, ...]:
    """The exact cells in the accelerator of ``model``, which has them, over some layers."""
    candidates, chosen = [], list(layers)
    for name in EXACT_CELLS:
        dot, energies = model.dot(name), [model.pass_energy(name, layer) for layer in chosen]
        macs = model.rows * model.columns * len(chosen)
        mac = sum(one.parts[part] for one in energies for part in OF_MAC) / macs
        whole = float(sum(one.total_fj for one in energies) / macs)
        candidates.append(Candidate(name, dot.unit.area_um2 / dot.rows, float(model.delay_ps(name)), mac, whole))
    return tuple(candidates)


def best_candidate(candidates: Sequence[Candidate], clock_ps: float) -> Candidate | None:
    """The one of least energy that meets a clock."""
    fast = [one for one in candidates if one.delay_ps <= clock_ps]
    return min(fast, key=lambda one: one.inference_fj, default=None)


def exact_baseline(model: ArrayModel) -> ExactBaseline:
    """Compare the exact cells over the layers of ``model``, which has them; UserError where none meets the clock."""
    candidates = exact_candidates(model, model.streams)
    best = best_candidate(candidates, model.clock_ps)
    if best is None:
        least = min(one.delay_ps for one in candidates)
        raise UserError(
            f"no exact cell reaches {model.clock_mhz:g} MHz in tiles of {model.tile[0]} rows with "
            f"{model.liberty.name}; the fastest takes {least:.0f} ps ({1e6 / least:.0f} MHz)"
        )
    return ExactBaseline(candidates, best.cell)
