"""Properties that hold over the registry: tables are their netlists, signs, zeros, forms of the exact product."""

import numpy as np
import pytest

from slipstick.rtl.cells import FAMILIES, cell, names
from slipstick.rtl.cells.cell import Cell, operand_values
from slipstick.rtl.cells.netlist import AND, NOT, OR

EIGHT = [name for name in names() if cell(name).widths == (8, 8)]
MAGNITUDES = [name for name in EIGHT if cell(name).signed and dict(cell(name).parameters).get("o") == 0]


def naive_product(choice: Cell, a_bits: int, w_bits: int) -> int:
    """One product by walking the gates with Python integers."""
    wa, ww = choice.widths
    nodes = [0, 1, *((a_bits >> i) & 1 for i in range(wa)), *((w_bits >> i) & 1 for i in range(ww))]
    for gate, x, y in choice.netlist.gates:
        left, right = nodes[x], nodes[y]
        nodes.append(1 - left if gate == NOT else left & right if gate == AND else left | right if gate == OR
                     else left ^ right)  # fmt: skip
    value = sum(nodes[node] << bit for bit, node in enumerate(choice.netlist.outputs))
    return value - (1 << choice.product_width) if choice.signed and value >> (choice.product_width - 1) else value


@pytest.mark.parametrize("name", names())
def test_products_equal_the_gates_walked_one_by_one(name: str) -> None:
    choice = cell(name)
    rng = np.random.default_rng(0)
    tops = [1 << (width - 1) for width in choice.widths]
    corners = [(0, 0), tuple(tops), (2 * tops[0] - 1, 2 * tops[1] - 1), (tops[0] - 1, tops[1]), (tops[0], 0)]
    for a, w in [*corners, *zip(*(rng.integers(0, 2 * top, 12).tolist() for top in tops), strict=True)]:
        assert choice.products(np.array([a]), np.array([w]))[0] == naive_product(choice, a, w)


def test_the_signed_families_are_many() -> None:
    signed = [cell(name) for name in EIGHT if cell(name).signed]
    assert len(signed) >= 100
    assert {choice.family for choice in signed} - {"evolved"} == set(FAMILIES) and len(FAMILIES) >= 14


@pytest.mark.parametrize("name", names("exact*"))
def test_exact_forms_multiply(name: str) -> None:
    if sum(cell(name).widths) <= 16:
        np.testing.assert_array_equal(cell(name).table, cell(name).exact)


def test_exact_forms_have_netlists_of_their_own() -> None:
    forms = [cell(name) for name in names("exact*8s*")]
    assert len({form.digest for form in forms}) == len(forms) >= 7


@pytest.mark.parametrize("name", MAGNITUDES)
def test_cells_of_magnitudes_are_odd_in_both_operands_and_define_minus_128(name: str) -> None:
    magnitudes = cell(name.replace("8s", "8u")).table
    a, w = operand_values(8, signed=True)[:, None], operand_values(8, signed=True)[None]
    sign = np.where((a < 0) != (w < 0), -1, 1)
    np.testing.assert_array_equal(cell(name).table, sign * magnitudes[np.abs(a), np.abs(w)])


# Arrays mask the products of padding, so a cell may give something for a zero; these are known to.
NOT_ZERO = {"compressor_momeni", "compressor_sabetzadeh", "compressor_ha", "compressor_esposito"}


def test_zero_operands_give_zero_but_for_known_families() -> None:
    for name in EIGHT:
        choice = cell(name)
        parameters = dict(choice.parameters)
        constant = parameters.get("c") == 1 or parameters.get("o") == 1 or choice.family in NOT_ZERO
        zero_weight = choice.family == "etm" or parameters.get("e") == 2 or constant
        zero_activation = choice.family in ("etm", "approximate_booth", "broken_booth") or constant
        assert zero_weight or not choice.table[:, 0].any(), name
        assert zero_activation or not choice.table[0].any(), name
    for name in ("compressor_momeni8s_k6", "etm8s_l4", "truncated8s_k6_c1", "approximate_booth8s_e2_p6"):
        assert cell(name).table[:, 0].any()


@pytest.mark.parametrize("name", EIGHT)
def test_no_product_wraps_round(name: str) -> None:
    """An error of half the range would come from that: one such pair ruins a sum."""
    assert cell(name).errors.wce < (1 << 14 if cell(name).signed else 1 << 15)
