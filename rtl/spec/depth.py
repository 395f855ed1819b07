"""How many tiles of a reduction the accumulators must be able to sum."""

from collections.abc import Sequence

import numpy as np

from slipstick.errors import UserError

from .array import ArrayConfig, padding_sums, sum_range
from .widths import LANE_BITS, signed_width


def required_depth(config: ArrayConfig, depth: int, bias: np.ndarray, columns: Sequence[int]) -> int:
    """Least power of two of K tiles for which ``accumulator_width`` holds K = ``depth`` and these biases.

    Raises UserError when that takes more than the 32 bits of an answer lane.
    """
    tiles = -(-depth // config.rows)
    bias = bias.astype(np.int64) - padding_sums(config, depth, len(bias), columns)
    for exponent in range(tiles.bit_length() - (tiles & (tiles - 1) == 0), 33):
        widths = [config.accumulator_width(column, 1 << exponent) for column in columns]
        fits = True
        for group, column in enumerate(columns):
            low, high = (tiles * limit for limit in sum_range(config.column_cells(column)))
            own = bias[group :: len(columns)]
            if len(own):
                fits &= signed_width(low + min(int(own.min()), 0), high + max(int(own.max()), 0)) <= widths[group]
        if max(widths) > LANE_BITS:
            break
        if fits:
            return 1 << exponent
    largest = int(np.abs(bias).max())
    raise UserError(f"K = {depth} with biases of up to {largest} does not fit {LANE_BITS}-bit accumulators")
