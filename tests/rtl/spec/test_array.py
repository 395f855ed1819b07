"""Arrays in whole numbers: mixes, widths, and the product by the plain loop."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstick.errors import UserError
from slipstick.rtl.cells import build, cell
from slipstick.rtl.spec.array import ArrayConfig, CellMix, matmul, sum_range
from slipstick.rtl.spec.widths import signed_width

EXACT, DRUM, SHIFTED = (cell(name) for name in ("exact8s", "drum8s_k3", "truncated8s_k6_c1"))


@given(st.integers(-(10**6), 0), st.integers(0, 10**6))
def test_signed_width_is_the_least_that_holds_both_ends(low: int, high: int) -> None:
    width = signed_width(low, high)
    assert -(1 << (width - 1)) <= low and high < 1 << (width - 1)
    assert width == 1 or not (-(1 << (width - 2)) <= low and high < 1 << (width - 2))


@pytest.mark.parametrize("one", [EXACT, DRUM, SHIFTED, cell("truncated8s_k8")], ids=lambda c: c.name)
@pytest.mark.parametrize("rows", [1, 3, 16])
def test_partial_sums_of_extreme_operands_fit_their_width(one, rows: int) -> None:
    config = ArrayConfig(rows, 1, CellMix.uniform(one, rows=rows, columns=1))
    width = config.partial_sum_width(0)
    for product in (int(one.table.min()), int(one.table.max())):
        assert -(1 << (width - 1)) <= rows * product < 1 << (width - 1)
    assert sum_range([one] * rows)[0] <= 0 <= sum_range([one] * rows)[1]


def test_matmul_takes_the_cell_of_every_row_and_column() -> None:
    config = ArrayConfig(2, 3, CellMix(((EXACT, DRUM, SHIFTED), (SHIFTED, EXACT, DRUM))))
    rng = np.random.default_rng(0)
    a, w = (rng.integers(-128, 128, shape).astype(np.int8) for shape in ((4, 5), (5, 8)))
    columns = (2, 0)
    result = matmul(config, a, w, columns)
    for m in range(4):
        for n in range(8):
            total = sum(
                int(config.mix.at(k % 2, columns[n % 2]).table[int(a[m, k]) & 255, int(w[k, n]) & 255])
                for k in range(5)
            )
            assert result[m, n] == total


def test_a_mix_describes_itself() -> None:
    config = ArrayConfig(3, 4, CellMix.by_column([EXACT, DRUM, EXACT, DRUM], rows=3, columns=4))
    assert config.describe() == "3 x 4: 2 x exact8s + 2 x drum8s_k3"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CellMix.uniform(EXACT, rows=0, columns=3), "at least one row and one column, not 0 x 3"),
        (lambda: CellMix.by_column([EXACT] * 3, rows=2, columns=4), "names 3 columns, the array has 4"),
        (lambda: ArrayConfig(2, 2, CellMix.uniform(EXACT, rows=3, columns=2)), "the mix is 3 x"),
        (lambda: ArrayConfig(1, 1, CellMix.uniform(build("exact", width=9), rows=1, columns=1)), "take 8 x 8"),
    ],
)
def test_sizes_and_mixes_that_do_not_add_up(make, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()
