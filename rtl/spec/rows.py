"""What the operators on whole rows need of an array library, so that one text serves NumPy and torch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .fixed import Mux
from .pwl import PwlTable


@dataclass(frozen=True)
class ArrayKind:
    """``mux`` chooses by element; ``largest`` and ``total`` reduce the last dimension and keep it, of length 1.

    ``results(table, codes)`` are the table's results for input codes. All integers have 64 bits.
    """

    mux: Mux
    largest: Callable[[Any], Any]
    total: Callable[[Any], Any]
    results: Callable[[PwlTable, Any], Any]


NUMPY = ArrayKind(
    np.where,
    lambda rows: rows.max(axis=-1, keepdims=True),
    lambda rows: rows.sum(axis=-1, keepdims=True),
    lambda table, codes: table.results[codes - table.input_range[0]],
)


def leading_one(value: Any, width: int, mux: Mux) -> Any:
    """Place of the highest one of ``value``, which has ``width`` bits and is positive: floor(log2 value)."""
    place: Any = 0
    for bit in range(1, width):
        place = mux(value >= (1 << bit), bit, place)
    return place
