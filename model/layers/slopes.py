"""Slopes of a multiplier's table by either operand, and which estimate of them training uses.

The table of an approximate multiplier is a staircase, so its derivative is zero or undefined; training
needs the slope of something smooth near it.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from slipstick.errors import UserError
from slipstick.limits import COUNT, PART, Limits, check_fields
from slipstick.rtl.cells.cell import Cell

Kind = Literal["straight_through", "clipped", "table_difference"]
Operand = Literal["activation", "stationary"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class GradientConfig:
    """How gradients pass a product on cells.

    ``straight_through``: as if the product were exact (Bengio et al., arXiv 1308.3432). ``clipped``: the
    same, but none where an operand was clamped by its quantiser. ``table_difference``: the slope of the
    cell's table smoothed over ``half_window`` codes to either side (``slope_table``), as a sum of
    separable terms: the fewest whose error is at most ``tolerance`` (Frobenius norm, relative to the
    slope table), and no more than ``max_rank``.
    """

    limits: ClassVar[dict[str, Limits]] = {"half_window": Limits(0, 127), "tolerance": PART, "max_rank": COUNT}
    kind: Kind = "straight_through"
    half_window: int = 32
    tolerance: float = 0.1
    max_rank: int = 8

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UserError(f"unknown gradient {self.kind!r}; choose one of {', '.join(KINDS)}")
        check_fields(self, self.limits, "gradient {}".format)


def slope_table(cell: Cell, operand: Operand, half_window: int) -> np.ndarray:
    """Slope of the smoothed table by an operand's code: float64 [2^wa, 2^ww], indexed by operand bits.

    The difference-based gradient of Meng, Burleson, Qian and De Micheli, "Gradient Approximation of
    Approximate Multipliers for High-Accuracy Deep Neural Network Retraining" (DATE 2025): a moving
    average over ``2 half_window + 1`` codes, then half the difference of its two neighbours. Near the
    ends of the operand's range the window is clamped and the difference divided by the distance that
    is left, so an exact table has exact slopes everywhere (the paper takes (max - min) / 2^w there,
    which gives unsigned operands' sign).
    """
    table = cell.table if operand == "activation" else cell.table.T
    count = len(table)
    by_value = np.roll(table.astype(float), count // 2, axis=0) if cell.signed else table.astype(float)
    place = np.arange(count)
    up, further_up, down, further_down = (
        np.clip(place + step, 0, count - 1) for step in (half_window, half_window + 1, -half_window, -half_window - 1)
    )
    distance = (up + further_up - down - further_down)[:, None]
    slope = (by_value[up] + by_value[further_up] - by_value[down] - by_value[further_down]) / distance
    slope = np.roll(slope, -(count // 2), axis=0) if cell.signed else slope
    return slope if operand == "activation" else slope.T


@dataclass(frozen=True)
class SlopeFactors:
    """``slope[a, w]`` as ``sum_r left[r, a] * right[r, w]``: float32 [r, 2^wa] and [r, 2^ww].

    ``error`` is the Frobenius norm of what is missing, relative to that of the slope table.
    """

    left: Tensor
    right: Tensor
    error: float

    @property
    def rank(self) -> int:
        """How many separable terms there are."""
        return len(self.left)


@lru_cache(maxsize=256)
def slope_factors(cell: Cell, operand: Operand, config: GradientConfig) -> SlopeFactors:
    """Truncated singular value decomposition of a slope table, computed once a process."""
    left, values, right = np.linalg.svd(slope_table(cell, operand, config.half_window))
    energy = values**2
    missing = np.sqrt(np.maximum(energy.sum() - np.cumsum(energy), 0) / max(energy.sum(), math.ulp(0.0)))
    enough = np.flatnonzero(missing <= max(config.tolerance, 1e-7))  # below this, digits of float32
    rank = min(int(enough[0]) + 1, config.max_rank)
    root = np.sqrt(values[:rank])
    parts = (left[:, :rank] * root).T, right[:rank] * root[:, None]
    as_float = [torch.tensor(np.ascontiguousarray(part), dtype=torch.float32) for part in parts]
    return SlopeFactors(as_float[0], as_float[1], float(missing[rank - 1]))
