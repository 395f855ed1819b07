"""How many cycles products take: the lengths of passes, without the beats themselves.

A pass is one weight tile at work on the rows of activations that the accumulators hold. Equal to
``interpreter.cycles`` of the beats that ``beats.schedule`` makes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .beats import CONSTANTS, hold
from .machine import AcceleratorConfig


@dataclass(frozen=True)
class Shape:
    """``repeats`` products of [rows, depth] by [depth, channels]."""

    rows: int
    depth: int
    channels: int
    repeats: int = 1

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return self.rows * self.depth * self.channels * self.repeats


@dataclass(frozen=True)
class Passes:
    """Passes that a shape takes: ``count`` of them, ``last`` that answer, of ``rows`` rows of activations on average.

    ``cycles`` are those from its first row to the next product's first.
    """

    count: int
    last: int
    rows: float
    cycles: int


def pass_cycles(mesh: tuple[int, int], count: int, loads: int) -> int:
    """Beats of a pass of ``count`` rows beside which ``loads`` rows of weights and constants are written."""
    return max(count, sum(mesh) + loads)


def passes(config: AcceleratorConfig, shape: Shape) -> Passes:
    """The passes of a shape in a stream of products like it, each answered once."""
    array, most = config.array, config.accumulator_rows
    tiles, groups = -(-shape.depth // array.rows), -(-shape.channels // array.columns)
    chunks = [min(most, shape.rows - first) for first in range(0, shape.rows, most)]
    cycles = 0
    constants = sum(CONSTANTS.values())
    for number, count in enumerate(chunks):
        last = number == len(chunks) - 1
        plain = pass_cycles(config.mesh, count, array.rows)
        before_constants = pass_cycles(config.mesh, count, array.rows + constants)
        # A row waits for its sum of the pass before; a pass that starts a product waits for nothing.
        inner = max(plain, config.mesh[0] + 1)
        cycles += (tiles - 1) * inner + (before_constants if last else plain)
    each = groups * shape.repeats
    return Passes(tiles * len(chunks) * each, len(chunks) * each, shape.rows / len(chunks), cycles * each)


def stream_cycles(config: AcceleratorConfig, shapes: Sequence[Shape]) -> int:
    """Cycles from the first beat taken to the last answer given, for products of these shapes one after another."""
    plan = list(_plan(config, shapes))
    reach, now = hold(config), 0
    now = plan[0][1]  # loads before the first pass
    for index, (count, _, _) in enumerate(plan):
        following = plan[index + 1] if index + 1 < len(plan) else None
        length = max(count, reach + following[1]) if following else count
        if following and not following[2]:
            length = max(length, config.mesh[0] + 1)
        now += length
    return now + reach + 2


def _plan(config: AcceleratorConfig, shapes: Sequence[Shape]) -> Iterator[tuple[int, int, bool]]:
    """Rows, beats that load, and whether it is the first of its sums, of every pass."""
    array, most = config.array, config.accumulator_rows
    for shape in shapes:
        for _ in range(shape.repeats):
            for _ in range(0, shape.channels, array.columns):
                constants = sum(CONSTANTS.values())
                for first in range(0, shape.rows, most):
                    for tile in range(-(-shape.depth // array.rows)):
                        yield min(most, shape.rows - first), array.rows + constants, tile == 0
                        constants = 0
