"""A stream of beats means the matrix products that it was made of."""

from dataclasses import replace

import numpy as np
import pytest

from slipstick.errors import UserError
from slipstick.rtl.spec.array import matmul
from slipstick.rtl.spec.beats import schedule
from slipstick.rtl.spec.cycles import Shape, passes, stream_cycles
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


@pytest.mark.parametrize("shape", [*SHAPES, (40, 9, 9), (6, 8, 8), (12, 3, 5), (31, 8, 20)])
@pytest.mark.parametrize("tile_rows, tile_columns", [(1, 1), (2, 4), (4, 4)])
def test_cycles_of_products_are_those_of_their_beats(
    shape: tuple[int, int, int], tile_rows: int, tile_columns: int
) -> None:
    config = machine(tile_rows, tile_columns, mix="uniform", accumulator_rows=12)
    counted = []
    for repeats in (1, 2, 3):
        plan = schedule(config, [product(*shape)] * repeats, raw=(False,))
        counted.append(stream_cycles(config, [Shape(*shape, repeats)]))
        assert counted[-1] == cycles(config, plan.beats)
    assert counted[2] - counted[1] == passes(config, Shape(*shape)).cycles


@pytest.mark.parametrize(
    ("limits", "bias", "message"),
    [
        ({"zero": 200}, 0, "zero = 200 does not fit int8"),
        ({"high": 128}, 0, "high = 128 does not fit int8"),
        ({"low": -129}, 0, "low = -129 does not fit int8"),
        ({}, 1 << 21, r"bias = \d+ does not fit the sums of \d+ bits"),
    ],
)
def test_constants_that_do_not_fit_their_registers_are_refused(limits: dict, bias: int, message: str) -> None:
    one = product(2, 2, 2)
    one = replace(one, requant=replace(one.requant, **limits), bias=one.bias + bias)
    with pytest.raises(UserError, match=message):
        schedule(machine(2, 2, mix="uniform"), [one])


def test_every_answer_has_the_number_that_gather_finds_it_by() -> None:
    config = machine(2, 2, mix="uniform")
    plan = schedule(config, [product(13, 9, 6), product(5, 4, 3, seed=1)], columns=(2, 0, 1))
    numbers = np.repeat(np.arange(sum(part.rows for part in plan.answers))[:, None], 4, axis=1)
    for number, (m, n) in enumerate(plan.shapes):
        for raw in (True, False):
            found = plan.gather(numbers, number, raw)
            wanted = [[plan.answer_number(number, raw, row, channel) for channel in range(n)] for row in range(m)]
            np.testing.assert_array_equal(found, wanted)
