"""Where walks start: family members, unsigned ones in sign-magnitude form for signed cells."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from slipstick.errors import UserError
from slipstick.rtl.cells import cells
from slipstick.rtl.cells.bits import AnyBit, Word, on_magnitudes
from slipstick.rtl.cells.cell import Cell
from slipstick.rtl.cells.netlist import AND, NOT, OR, Netlist

from .genome import Genome
from .kernel import Bounds, Evaluator, Score


@dataclass(frozen=True)
class Seed:
    """A start: the family member's name, its genome, and its score."""

    name: str
    genome: Genome
    score: Score


def replay(netlist: Netlist, a: Word, w: Word) -> Word:
    """The product of two words of bits that are being traced, gate by gate as in a netlist."""
    nodes: list[AnyBit] = [0, 1, *a, *w]
    for gate, x, y in netlist.gates:
        if gate == NOT:
            nodes.append(nodes[x] ^ 1)
        else:
            left, right = nodes[x], nodes[y]
            nodes.append(left & right if gate == AND else left | right if gate == OR else left ^ right)
    return [nodes[node] for node in netlist.outputs]


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


def signed_form(cell: Cell) -> Cell:
    """A signed cell as it is, an unsigned one on the magnitudes of signed operands."""
    if cell.signed:
        return cell
    product = on_magnitudes(partial(replay, cell.netlist))
    netlist = Netlist.trace(partial(product, signed=True), cell.widths)
    return Cell(f"sign_magnitude({cell.name})", cell.family, True, netlist, cell.parameters)


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
