"""Worst-case errors in closed form, and error figures that publications state."""

from itertools import pairwise

import numpy as np
import pytest

from slipstick.rtl.cells import build, cell, compressors, names
from slipstick.rtl.cells.cell import operand_values
from slipstick.rtl.cells.netlist import Netlist
from tests.rtl.cells.array_models import DEVIATIONS

ONES = 255  # the greatest unsigned operand


def parameters(name: str) -> list[int]:
    return [value for _, value in cell(name).parameters]


@pytest.mark.parametrize("k", range(1, 9))
def test_truncated_worst_error_is_the_sum_of_dropped_weights(k: int) -> None:
    errors = cell(f"truncated8u_k{k}").errors
    assert errors.wce == (k - 1) * 2**k + 1
    assert errors.bias == -errors.wce / 4  # every dropped product is one in a quarter of all pairs


@pytest.mark.parametrize("name", names("truncated8*_c1"))
def test_the_correction_constant_shifts_every_product_alike(name: str) -> None:
    plain = cell(name.removesuffix("_c1")).table
    shift = cell(name).table.astype(np.int64) - plain
    assert len(np.unique(shift % (1 << cell(name).product_width))) == 1
    assert abs(cell(name).errors.bias) < abs(cell(name.removesuffix("_c1")).errors.bias)


@pytest.mark.parametrize("k", range(3, 11))
def test_the_variable_correction_beats_the_constant_one(k: int) -> None:
    assert cell(f"truncated8u_k{k}_c2").errors.mse < cell(f"truncated8u_k{k}_c1").errors.mse


@pytest.mark.parametrize("name", names("broken_array8u*"))
def test_broken_array_worst_error_is_the_sum_of_dropped_weights(name: str) -> None:
    h, v = parameters(name)
    assert cell(name).errors.wce == sum(2 ** (i + j) for i in range(8) for j in range(8) if j < h or i + j < v)


@pytest.mark.parametrize("name", names("perforated8*"))
def test_perforation_loses_at_most_the_rows_times_the_largest_operand(name: str) -> None:
    j, k = parameters(name)
    assert cell(name).errors.wce == (128 if cell(name).signed else ONES) * (2**k - 1) * 2**j


@pytest.mark.parametrize("name", names("narrowed8u*"))
def test_narrowed_operands_lose_most_when_all_bits_are_one(name: str) -> None:
    a, w = parameters(name)
    assert cell(name).errors.wce == ONES**2 - (ONES - 2**a + 1) * (ONES - 2**w + 1)


@pytest.mark.parametrize("d", [2, 3, 4, 8])
def test_merged_rows_lose_all_but_one_of_every_merged_group(d: int) -> None:
    groups: dict[tuple[int, int], int] = {}
    for i in range(8):
        for j in range(8):
            if i + j <= 7 + j // d:
                groups[i + j, j // d] = groups.get((i + j, j // d), 0) + 1
    assert cell(f"merged8u_d{d}").errors.wce == sum((n - 1) << column for (column, _), n in groups.items())


@pytest.mark.parametrize("v", range(3, 9))
def test_a_broken_booth_row_loses_at_most_what_it_cuts(v: int) -> None:
    """Each of the (v + 1) // 2 rows that reach below column v loses up to 2^v."""
    assert cell(f"broken_booth8s_v{v}").errors.wce == (v + 1) // 2 * 2**v


@pytest.mark.parametrize(
    ("name", "wce"),
    # 2 T^2 with T = 1 + 4 + 16 ... over the digits that are three; 127 is 1, 3, 3, 3
    [("recursive8u", 14450), ("recursive8s", 882), ("recursive8u_x1", 14450 - 2 * 80**2), ("recursive8u_x3", 50)],
)
def test_kulkarni_errs_by_the_digits_that_are_both_three(name: str, wce: int) -> None:
    assert cell(name).errors.wce == wce


def relative(name: str) -> np.ndarray:
    """Relative errors of an unsigned cell over non-zero operands."""
    exact = cell(name).exact[1:, 1:]
    return (cell(name).table[1:, 1:] - exact) / exact


def test_mitchell_is_never_too_large_and_at_most_a_ninth_too_small() -> None:
    assert relative("mitchell8u").max() == 0
    assert relative("mitchell8u").min() == pytest.approx(-1 / 9, abs=1e-12)
    assert cell("mitchell8u").errors.wce == 2**14 // 4  # x = y = 1/2 at the highest places


@pytest.mark.parametrize("f", [2, 3, 4, 5])
def test_a_truncated_mitchell_loses_no_more_than_the_cut_fractions(f: int) -> None:
    assert relative(f"truncated_mitchell8u_f{f}").max() <= 0
    assert relative(f"truncated_mitchell8u_f{f}").min() >= -1 / 9 - 2 * 2.0**-f


def test_minimal_bias_lives_up_to_its_name() -> None:
    assert abs(relative("mbm8u").mean()) < abs(relative("mitchell8u").mean()) / 4


def test_roba_errs_by_a_ninth_at_most() -> None:
    assert np.abs(relative("roba8u")).max() <= 1 / 9


@pytest.mark.parametrize("k", [3, 4, 5, 6])
def test_drum_errs_by_half_a_unit_of_either_segment_at_most(k: int) -> None:
    assert np.abs(relative(f"drum8u_k{k}")).max() <= (1 + 2.0 ** (1 - k)) ** 2 - 1
    small = 1 << k
    np.testing.assert_array_equal(cell(f"drum8u_k{k}").table[:small, :small], cell("exact8u").table[:small, :small])


@pytest.mark.parametrize("m", [4, 5, 6, 7])
def test_static_segments_lose_most_when_all_bits_are_one(m: int) -> None:
    assert cell(f"ssm8u_m{m}").errors.wce == ONES**2 - (256 - 2 ** (8 - m)) ** 2


@pytest.mark.parametrize("width", [4, 8])
def test_the_enhanced_segments_are_never_worse(width: int) -> None:
    for m in range(width // 2, width, 2):
        plain, better = (build("ssm", width=width, signed=False, m=m, e=e) for e in (0, 1))
        assert (better.table >= plain.table).all() and (better.table <= better.exact).all()


def test_error_tolerant_products_of_low_parts_are_exact() -> None:
    np.testing.assert_array_equal(cell("etm8u_l4").table[:16, :16], cell("exact8u").table[:16, :16])


def test_recovering_more_columns_never_hurts_the_mean_error() -> None:
    errors = [build("error_recovery", signed=False, r=r).errors for r in range(0, 16, 3)]
    assert all(more.mae <= fewer.mae for fewer, more in pairwise(errors))
    assert all(one.bias <= 0 for one in errors)  # nothing is ever added that was not lost


WRONG = {"momeni": 4, "yang": 1, "venkatachalam": 5, "ha": 4, "strollo": 2}  # of 16 inputs


@pytest.mark.parametrize("design", DEVIATIONS)
def test_compressors_follow_their_truth_tables(design: str) -> None:
    def function(a, w):
        stay, over = getattr(compressors, design)(*a)
        return [*stay, *over]

    inputs = np.array(list(np.ndindex(2, 2, 2, 2)))
    bits = Netlist.trace(function, (4, 1)).evaluate(inputs @ [1, 2, 4, 8], np.zeros(16, np.int64)).astype(int)
    value = (bits & 1) + (bits >> 1) * (1 if design == "esposito" else 2)
    wanted = [sum(row) + DEVIATIONS[design](*row) for row in inputs.tolist()]
    np.testing.assert_array_equal(value, wanted)
    if design in WRONG:
        assert (value != inputs.sum(1)).sum() == WRONG[design]


# Published error figures of EvoApproxLib circuits that are plain truncated and broken arrays
# (mul8s_1KVA, 1KVB, 1KX2, 1KRC; Mrazek et al., DATE 2017): an independent source for our tables.
PUBLISHED = {
    "truncated8s_k2": (1.25, 5, 0.50),
    "truncated8s_k3": (4.25, 17, 0.6875),
    "truncated8s_k4": (12.25, 49, 0.8125),
    "broken_array8s_h1_v4": (36.5, 161, 0.8418),
}


@pytest.mark.parametrize(("name", "published"), PUBLISHED.items())
def test_error_figures_equal_published_ones(name: str, published: tuple[float, int, float]) -> None:
    errors = cell(name).errors
    assert (round(errors.mae, 1), errors.wce) == (round(published[0], 1), published[1])
    assert errors.ep == pytest.approx(published[2], abs=5e-5)
    assert errors.mse == pytest.approx(errors.variance + errors.bias**2)


# Mean absolute relative error in % of 16-bit unsigned multipliers over random operands: DRUM (ICCAD
# 2015) 1.47 for six bits, RoBA (TVLSI 2017) 2.9, Mitchell 3.8; TOSAM (TVLSI 2019): 11 down to 0.3.
RELATIVE = {
    "drum16u_k6": (1.47, 0.02),
    "roba16u": (2.9, 0.05),
    "mitchell16u": (3.85, 0.05),
    "tosam16u_t2": (11, 0.5),
    "tosam16u_h5_t9": (0.3, 0.05),
}


@pytest.mark.parametrize(("name", "published"), RELATIVE.items())
def test_mean_relative_errors_at_16_bits_are_the_published_ones(name: str, published: tuple[float, float]) -> None:
    a, w = np.random.default_rng(0).integers(1, 1 << 16, (2, 100_000))
    error = np.abs(cell(name).products(a, w) - a * w) / (a * w)
    assert 100 * error.mean() == pytest.approx(published[0], abs=published[1])


@pytest.mark.parametrize("h", [1, 2])
def test_dropped_booth_rows_round_one_operand_to_the_nearest_multiple(h: int) -> None:
    values = operand_values(8, signed=True)
    rounded = (values + 4**h // 2) // 4**h * 4**h
    np.testing.assert_array_equal(cell(f"broken_booth8s_h{h}").table, values[:, None] * rounded)
    assert cell(f"broken_booth8s_h{h}").errors.wce == 128 * 4**h // 2
