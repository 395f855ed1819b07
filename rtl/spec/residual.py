"""The residual stream: int16 codes of one scale, and the saturating sum that every branch ends in."""

from typing import Any

from .fixed import Mux, choose, requantise, saturate

RESIDUAL_RANGE = (-(1 << 15), (1 << 15) - 1)


def add_saturating(stream: Any, branch: Any, mux: Mux = choose) -> Any:
    """Sum of two codes of the stream, limited to int16."""
    return saturate(stream + branch, *RESIDUAL_RANGE, mux)


def add_branch(stream: Any, accumulator: Any, multiplier: Any, shift: Any, mux: Mux = choose) -> Any:
    """Stream code plus a branch's accumulator, requantised to the stream's scale first."""
    return add_saturating(stream, requantise(accumulator, multiplier, shift, 0, *RESIDUAL_RANGE, mux), mux)
