"""Every path of the emulation against the plain integer loop, bit for bit."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slipstick.model.factor import LARGEST_RANK, factorise, rank
from slipstick.model.gemm import PreparedWeights, approx_matmul, factors
from slipstick.rtl.cells import cell, names

SIGNED = names("*8s*")


def plain_loop(activations: np.ndarray, weights: np.ndarray, table: np.ndarray) -> np.ndarray:
    """sum_k table[a[m, k], w[k, n]] with Python-sized integers."""
    products = table.astype(np.int64)[activations.view(np.uint8)[:, :, None], weights.view(np.uint8)[None]]
    return products.sum(1)


def operands(rng: np.random.Generator, *shape: int) -> torch.Tensor:
    return torch.from_numpy(rng.integers(-128, 128, shape).astype(np.int8))


@pytest.mark.parametrize("name", SIGNED)
def test_products_of_all_operand_pairs(name: str) -> None:
    values = torch.arange(-128, 128, dtype=torch.int8)
    order = values.numpy().view(np.uint8)
    result = approx_matmul(values[:, None], values[None, :], cell(name))
    np.testing.assert_array_equal(result.numpy(), cell(name).table[np.ix_(order, order)])


@pytest.mark.parametrize("name", SIGNED)
def test_matrix_product_equals_the_plain_loop(name: str) -> None:
    rng = np.random.default_rng(1)
    a, w = operands(rng, 9, 70), operands(rng, 70, 11)
    np.testing.assert_array_equal(approx_matmul(a, w, cell(name)), plain_loop(a.numpy(), w.numpy(), cell(name).table))


@pytest.mark.parametrize("name", ["exact8s", "truncated8s_k9_c1", "drum8s_k3"])
def test_deep_sums_of_extreme_operands_stay_exact(name: str) -> None:
    depth = 5000  # sums reach 8e7: beyond what float32 holds, so K must be split
    for a_value, w_value in ((-128, -128), (127, -128), (-128, 127)):
        a = torch.full((2, depth), a_value, dtype=torch.int8)
        w = torch.full((depth, 3), w_value, dtype=torch.int8)
        wanted = depth * int(cell(name).table[a_value & 255, w_value & 255])
        assert (approx_matmul(a, w, cell(name)) == wanted).all()


@pytest.mark.parametrize("name", ["exact8s", "truncated8s_k7", "mitchell8s"])
@pytest.mark.parametrize("lead", [(), (3,), (2, 3)])
def test_batches_of_stationary_operands(name: str, lead: tuple[int, ...]) -> None:
    rng = np.random.default_rng(2)
    a, w = operands(rng, 2, 3, 5, 33), operands(rng, *lead, 33, 7)
    result = approx_matmul(a, w, cell(name))
    assert result.shape == (2, 3, 5, 7) and result.dtype == torch.int32
    for i in np.ndindex(2, 3):
        weights = w[i[2 - len(lead) :]] if lead else w
        np.testing.assert_array_equal(result[i], plain_loop(a[i].numpy(), weights.numpy(), cell(name).table))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 90), st.integers(1, 20), st.integers(0, 2**32 - 1), st.sampled_from(SIGNED))
def test_any_shape_and_cell(m: int, k: int, n: int, seed: int, name: str) -> None:
    rng = np.random.default_rng(seed)
    a, w = operands(rng, m, k), operands(rng, k, n)
    np.testing.assert_array_equal(approx_matmul(a, w, cell(name)), plain_loop(a.numpy(), w.numpy(), cell(name).table))


def test_reduced_precision_switches_do_not_break_exactness() -> None:
    rng = np.random.default_rng(3)
    a, w = operands(rng, 64, 500), operands(rng, 500, 32)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            result = approx_matmul(a, w, cell("truncated8s_k6"))
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    np.testing.assert_array_equal(result, plain_loop(a.numpy(), w.numpy(), cell("truncated8s_k6").table))


def test_depths_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="5 deep, weights 6"):
        PreparedWeights(torch.zeros(6, 2, dtype=torch.int8), cell("exact8s")).matmul(
            torch.zeros(1, 5, dtype=torch.int8)
        )


@pytest.mark.parametrize("name", SIGNED)
def test_factors_give_back_the_whole_table_and_their_bound_holds(name: str) -> None:
    split, table = factors(cell(name)), cell(name).table
    if split is None:
        assert rank(table) > LARGEST_RANK
        return
    assert split.rank == np.linalg.matrix_rank(table.astype(float))
    np.testing.assert_array_equal(split.left @ split.right, table)
    assert (np.abs(split.left)[:, :, None] * np.abs(split.right)[None]).sum(1).max() == split.bound


def test_known_ranks() -> None:
    ranks = {"exact8s": 1, "drum8s_k4": 1, "recursive8s": 2, "truncated8s_k4": 5, "broken_array8s_h2_v6": 5}
    assert {name: factors(cell(name)).rank for name in ranks} == ranks
    assert factors(cell("mitchell8s")) is None


def test_a_zero_table_and_a_random_one() -> None:
    zero = factorise(np.zeros((256, 256), np.int32))
    assert zero is not None and zero.bound == 0
    assert factorise(np.random.default_rng(0).integers(-9, 9, (256, 256)).astype(np.int32)) is None
