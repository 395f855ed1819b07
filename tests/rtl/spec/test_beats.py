"""A stream of beats means the matrix products that it was made of."""

import numpy as np
import pytest

from slipstick.rtl.spec.array import matmul
from slipstick.rtl.spec.beats import schedule
from slipstick.rtl.spec.interpreter import cycles, latency, run
from tests.rtl.array.machines import machine, product

SHAPES = [(1, 1, 1), (5, 9, 6), (13, 4, 3), (7, 16, 9)]


@pytest.mark.parametrize("mix", ["uniform", "grid"])
@pytest.mark.parametrize("columns", [None, (2, 0), (3,)])
def test_answers_are_the_accumulators_and_outputs_of_every_product(mix: str, columns: tuple[int, ...] | None) -> None:
    config = machine(2, 2, mix=mix)
    products = [product(*shape, seed=i) for i, shape in enumerate(SHAPES)]
    plan = schedule(config, products, columns=columns)
    lanes = run(config, plan.beats)
    assert len(lanes) == sum(part.rows for part in plan.answers)
    for number, one in enumerate(products):
        sums = matmul(config.array, one.activations, one.weights, columns) + one.bias
        np.testing.assert_array_equal(plan.gather(lanes, number, raw=True), sums)
        np.testing.assert_array_equal(plan.gather(lanes, number, raw=False), one.requant(sums))


def test_loads_hide_behind_rows_where_there_are_enough_of_them() -> None:
    config = machine(4, 4, mix="uniform", accumulator_rows=32)
    plan = schedule(config, [product(32, 16, 16)], raw=(False,))
    constants = 10
    rows = 4 * 4 * 32  # tiles of the reduction, blocks of channels, rows
    assert len(plan.beats) == 4 + constants + rows
    assert cycles(config, plan.beats) == len(plan.beats) + latency(config)
