"""Every path of the emulation against the plain integer loop, bit for bit."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slipstick.errors import UserError
from slipstick.model.gemm import PreparedWeights, approx_matmul, factors
from slipstick.model.kernels import selftest
from slipstick.model.kernels.factor import LARGEST_RANK, factorise, rank, wide_factors
from slipstick.rtl.cells import build, cell, names

SIGNED = names("*8s*")


def plain_loop(activations: np.ndarray, weights: np.ndarray, table: np.ndarray) -> np.ndarray:
    """sum_k table[a[m, k], w[k, n]] of int8 codes."""
    return selftest.plain_loop(activations.view(np.uint8), weights.view(np.uint8), table.astype(np.int64))


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


@settings(max_examples=30)
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


@pytest.mark.parametrize("width", [12, 16])
@pytest.mark.parametrize(("family", "parameters", "rank"), [
    ("exact", {}, 1),
    ("truncated", {"k": 6}, 7),
    ("truncated", {"k": 5, "c": 1}, 7),
    ("broken_array", {"h": 3, "v": 9}, 7),
    ("drum", {"k": 6}, 1),
])  # fmt: skip
def test_wide_cells_multiply_without_a_table(family: str, parameters: dict, rank: int, width: int) -> None:
    wide = build(family, width=width, **parameters)
    assert wide_factors(wide).rank == rank
    rng, half, mask = np.random.default_rng(0), 1 << (width - 1), (1 << width) - 1
    a, w = (rng.integers(-half, half, shape).astype(np.int16) for shape in ((2, 3, 600), (600, 4)))
    a[0, 0], w[:, 0] = -half, -half  # the deepest sum there is
    result = approx_matmul(torch.from_numpy(a), torch.from_numpy(w), wide)
    wanted = wide.products(a.astype(np.int64)[..., None] & mask, w.astype(np.int64) & mask).sum(2)
    assert result.dtype == torch.int64
    np.testing.assert_array_equal(result, wanted)


def test_a_wide_cell_without_small_factors_is_refused() -> None:
    mitchell = cell("mitchell16s")
    with pytest.raises(UserError, match="no exact factors of rank 16 or less"):
        approx_matmul(torch.zeros(1, 1, dtype=torch.int16), torch.zeros(1, 1, dtype=torch.int16), mitchell)
    with pytest.raises(UserError, match=r"would have 2\^32 entries"):
        _ = mitchell.table


def test_a_narrow_cell_takes_the_codes_of_its_range() -> None:
    narrow = cell("exact4s")
    values = torch.arange(-8, 8, dtype=torch.int8)
    assert torch.equal(approx_matmul(values[:, None], values[None], narrow), values[:, None].int() * values)
    with pytest.raises(UserError, match="activations leave the 4-bit range -8 to 7"):
        approx_matmul(values[:, None] * 2, values[None], narrow)
    with pytest.raises(UserError, match="weights leave the 4-bit range -8 to 7"):
        approx_matmul(values[:, None], values[None] * 2, narrow)


def test_other_types_and_sums_that_may_overflow_are_refused() -> None:
    codes = torch.zeros(2, 2, dtype=torch.int8)
    with pytest.raises(UserError, match=r"weights are torch.int32; cell 'exact8s' takes torch.int8"):
        approx_matmul(codes, codes.int(), cell("exact8s"))
    with pytest.raises(UserError, match=r"activations are torch.float32"):
        approx_matmul(codes.float(), codes, cell("exact8s"))
    with pytest.raises(UserError, match=r"sums of 131072 products .* up to 16384 each, may not fit int32"):
        PreparedWeights(torch.zeros(1 << 17, 1, dtype=torch.int8), cell("exact8s"))


@pytest.mark.slow
def test_ten_thousand_random_products_equal_the_plain_loop() -> None:
    rng = np.random.default_rng(20261124)
    for case in range(10_000):
        name = SIGNED[int(rng.integers(len(SIGNED)))]
        m, k, n = (int(rng.integers(1, limit)) for limit in (20, 40, 70))
        lead, own = ((), ()) if case % 2 else ((2, 2), ((2, 2), (2,), ())[case // 2 % 3])
        a, w = operands(rng, *lead, m, k), operands(rng, *own, k, n)
        wanted = plain_loop(a.numpy(), w.numpy(), cell(name).table)
        assert np.array_equal(approx_matmul(a, w, cell(name)), wanted), (case, name, a.shape, w.shape)
