"""Cycles of one matrix product by the schedule of ``beats``, without the beats."""

from .beats import CONSTANTS


def product_cycles(
    shape: tuple[int, int, int],
    *,
    rows: int,
    columns: int,
    mesh: tuple[int, int] = (1, 1),
    accumulator_rows: int,
    answers: int = 1,
) -> int:
    """Cycles from the first beat of ``shape`` (M, K, N) taken to its last answer given, for ends that never pause.

    On an array of ``rows`` x ``columns`` whose tiles are ``mesh``; the last tile of the reduction is computed once
    for each of ``answers``. The first weights and constants load before anything is computed, all others beside it.
    """
    m, depth, channels = shape
    hold, constants = sum(mesh), sum(CONSTANTS.values())
    tiles, groups = -(-depth // rows), -(-channels // columns)
    parts = [min(accumulator_rows, m - first) for first in range(0, m, accumulator_rows)]
    passes = tiles + answers - 1  # of one part of the rows in one group of channels
    beats = 0
    for number, part in enumerate(parts):
        beats += (passes - 1) * max(part, hold + rows)
        new_group = number == len(parts) - 1  # whose constants load beside the last pass
        beats += max(part, hold + rows + constants * new_group)
    beats = groups * beats + rows + constants - max(parts[-1], hold + rows + constants) + parts[-1]
    return beats + hold + 2
