"""Rows and columns of a tile, chosen by energy at the clock with the best exact cell in each."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from slipstick.errors import UserError

from .array import ArrayModel
from .baseline import best_candidate, exact_candidates

LAYERS = 3
"""Layers that decide: those of most products."""


@dataclass(frozen=True)
class TileChoice:
    """Tiles of ``rows`` x ``columns``: the exact cell of least energy in them, if one meets the clock.

    Energy of a MAC of everything but memories in fJ, longest path in ps, area of the array in um2.
    """

    rows: int
    columns: int
    cell: str
    inference_fj: float
    delay_ps: float
    area_um2: float
    meets_clock: bool


def tile_choices(model: ArrayModel) -> tuple[TileChoice, ...]:
    """Every tile that is tried, the cheapest that meets the clock first; UserError where none does."""
    layers = sorted(model.streams, key=lambda layer: -model.shapes[layer].macs)[:LAYERS]
    found = sorted(_tried(model, layers), key=lambda one: (not one.meets_clock, one.inference_fj))
    if not found[0].meets_clock:
        least = min(found, key=lambda one: one.delay_ps)
        raise UserError(
            f"no tile reaches {model.clock_mhz:g} MHz with {model.liberty.name}: the fastest, {least.rows} x "
            f"{least.columns} of {least.cell}, takes {least.delay_ps:.0f} ps ({1e6 / least.delay_ps:.0f} MHz)"
        )
    return tuple(found)


def _tried(model: ArrayModel, layers: list[str]) -> Iterator[TileChoice]:
    for rows in _heights(model.rows):
        for columns in dict.fromkeys((model.columns, _divisor(model.columns, 4))):
            one = replace(model, tile=(rows, columns))
            candidates = exact_candidates(one, layers)
            best = best_candidate(candidates, model.clock_ps)
            shown = best or min(candidates, key=lambda candidate: candidate.delay_ps)
            yield TileChoice(
                rows, columns, shown.cell, shown.inference_fj, shown.delay_ps, float(one.array_area_um2(shown.cell)),
                best is not None,
            )  # fmt: skip


def _heights(rows: int) -> list[int]:
    """All rows, a half, a quarter, an eighth of them, as far as that divides, and one."""
    return sorted({rows // part for part in (1, 2, 4, 8) if rows % part == 0} | {1}, reverse=True)


def _divisor(count: int, most: int) -> int:
    return max(n for n in range(1, most + 1) if count % n == 0)
