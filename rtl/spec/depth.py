"""How many tiles of a reduction the accumulators must be able to sum."""

from collections.abc import Sequence

import numpy as np

from slipstick.errors import UserError

from .array import ArrayConfig, padding_sums, sum_range
from .widths import LANE_BITS, signed_width


def required_depth(config: ArrayConfig, depth: int, bias: np.ndarray, columns: Sequence[int]) -> int:
    """Fewest K tiles for which ``accumulator_width`` holds K = ``depth`` and these biases.

    Raises UserError when that takes more than the 32 bits of an answer lane.
    """
    tiles = -(-depth // config.rows)
    bias = bias.astype(np.int64) - padding_sums(config, depth, len(bias), columns)
    needs = []
    for group, column in enumerate(columns):
        low, high = (tiles * limit for limit in sum_range(config.column_cells(column)))
        own = bias[group :: len(columns)]
        needs.append(signed_width(low + min(int(own.min(initial=0)), 0), high + max(int(own.max(initial=0)), 0)))
    if max(needs) <= LANE_BITS:
        found = max(1, tiles // 2)  # the width counts a bias as large as any sum
        while any(config.accumulator_width(c, found) < need for c, need in zip(columns, needs, strict=True)):
            found += 1
        if max(config.accumulator_width(column, found) for column in columns) <= LANE_BITS:
            return found
    largest = int(np.abs(bias).max())
    raise UserError(f"K = {depth} with biases of up to {largest} does not fit {LANE_BITS}-bit accumulators")
