"""Jobs whose expected values come from the integer truth of the array."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pytest

from slipstick.rtl.cells import cell
from slipstick.rtl.spec.array import ArrayConfig, CellMix, matmul
from slipstick.rtl.spec.fixed import Requant
from slipstick.rtl.spec.machine import AcceleratorConfig
from slipstick.sim.vectors import GemmJob

NAMES = ("exact8s", "truncated8s_k8", "truncated8s_k6_c1", "truncated8s_k8")


@pytest.fixture(scope="session")
def config() -> AcceleratorConfig:
    """3 rows, 4 columns in tiles of 3 x 2; column 2 holds a cell that makes 64 of 0 x 0."""
    array = ArrayConfig(3, 4, CellMix.by_column([cell(name) for name in NAMES], rows=3, columns=4))
    return AcceleratorConfig(array, 3, 2, depth=16)


@pytest.fixture(scope="session")
def make_job(config: AcceleratorConfig) -> Callable[..., GemmJob]:
    return partial(job_for, config.array)


def job_for(
    array: ArrayConfig, layer: str, m: int, k: int, n: int, columns: Sequence[int] = (0, 1, 2, 3), seed: int = 1
) -> GemmJob:
    """A job of random operands on an array, with its answers."""
    rng = np.random.default_rng(seed)
    activations = rng.integers(-128, 128, (m, k)).astype(np.int8)
    weights = rng.integers(-127, 128, (k, n)).astype(np.int8)
    bias = rng.integers(-5000, 5000, n).astype(np.int32)
    accumulators = (matmul(array, activations, weights, columns) + bias).astype(np.int32)
    requant = Requant.from_scale(rng.uniform(0.3, 2, n) * 127 / np.abs(accumulators).max(), low=-120)
    outputs = requant(accumulators).astype(np.int8)
    return GemmJob(layer, activations, weights, bias, requant, tuple(columns), accumulators, outputs)
