"""Where walks start: family members, unsigned ones in sign-magnitude form for signed cells."""

from collections.abc import Sequence
from dataclasses import dataclass

from slipstick.errors import UserError
from slipstick.rtl.cells import cells
from slipstick.rtl.cells.cell import Cell
from slipstick.rtl.cells.wrapped import signed_form

from .genome import Genome
from .kernel import Bounds, Evaluator, Score


@dataclass(frozen=True)
class Seed:
    """A start: the family member's name, its genome, and its score."""

    name: str
    genome: Genome
    score: Score


def seed_cells(patterns: str, signed: bool) -> list[Cell]:
    """Cells that comma-separated patterns name, of one shape; an unsigned one in sign-magnitude form if need be.

    Raises UnknownName for a pattern without a match, UserError for cells of several widths, and for a signed
    cell where unsigned ones are wanted.
    """
    found = {cell.name: cell for pattern in patterns.split(",") for cell in cells(pattern.strip())}
    if len({cell.widths for cell in found.values()}) != 1:
        raise UserError(f"the seed cells {patterns!r} have different widths; name cells of one width")
    wrong = [cell.name for cell in found.values() if cell.signed and not signed]
    if wrong:
        raise UserError(f"seed cell {wrong[0]!r} is signed; unsigned cells start from unsigned ones such as 'exact8u'")
    return [signed_form(cell) if signed else cell for cell in found.values()]


def scored(cells: Sequence[Cell], evaluator: Evaluator) -> list[Seed]:
    """Seeds with their scores, the cheapest first."""
    genomes = [(cell.name, Genome.of(cell.netlist)) for cell in cells]
    seeds = [Seed(name, genome, evaluator.score(genome)) for name, genome in genomes]
    return sorted(seeds, key=lambda seed: (seed.score.energy_fj, seed.name))


def within(seeds: Sequence[Seed], bounds: Bounds) -> list[Seed]:
    """The seeds that keep the bounds; UserError shows the nearest one where none does."""
    fitting = [seed for seed in seeds if seed.score.keeps(bounds)]
    if not fitting:
        near = min(seeds, key=lambda seed: (not seed.score.keeps_zero and bounds.keep_zero, seed.score.mae))
        zero = "" if near.score.keeps_zero or not bounds.keep_zero else ", not zero for zero operands"
        raise UserError(
            f"no seed cell keeps MAE <= {bounds.mae:g}, |bias| <= {bounds.bias:g}, WCE <= {bounds.wce}; nearest: "
            f"{near.name} (MAE {near.score.mae:.3g}, bias {near.score.bias:.3g}, WCE {near.score.wce}{zero}); "
            f"loosen the bounds or seed with an exact cell"
        )
    return fitting
