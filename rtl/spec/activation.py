"""An activation function of accumulators: requantised to the codes of a table, the table, requantised to the output.

The table is piecewise linear (GQA-LUT). Its input codes have one scale for all channels, and more bits than the
operands of an array: int8 of that scale would be too coarse where the function bends, or too narrow beyond.
"""

from dataclasses import dataclass

import numpy as np

from slipstick.errors import UserError

from .fixed import Requant
from .pwl import PwlTable


@dataclass(frozen=True, eq=False)
class ActivationSpec:
    """``after(table(before(accumulators)))``: ``before`` for N channels or, N = 1, for all; ``after`` for all.

    Raises UserError for a ``before`` whose limits are not those of the table's codes, and for zero points.
    """

    before: Requant
    table: PwlTable
    after: Requant

    def __post_init__(self) -> None:
        if (self.before.low, self.before.high) != self.table.input_range:
            raise UserError(
                f"activation {self.table.function!r}: codes {self.before.low} to {self.before.high} for a table of "
                f"{self.table.input_width} bits"
            )
        if self.before.zero or self.after.zero or len(self.after.shift) != 1:
            raise UserError(f"activation {self.table.function!r}: zero points, or more than one output scale")

    @property
    def channels(self) -> int:
        """N."""
        return len(self.before.shift)

    def __call__(self, accumulators: np.ndarray) -> np.ndarray:
        """Accumulators int64 [..., N] -> output codes int64 [..., N]."""
        return self.after(self.table(self.before(accumulators), np.where))
