"""Every registered cell against what its publication states; tables come from netlists alone."""

import numpy as np
import pytest

from slipstick.rtl.cells import cell, names
from slipstick.rtl.cells.cell import Cell, operand_values
from slipstick.rtl.cells.netlist import AND, NOT, OR


def operands(choice: Cell) -> tuple[np.ndarray, np.ndarray]:
    """Values of a [256, 1] and w [1, 256] in the order of the table."""
    values = operand_values(8, choice.signed)
    return values[:, None], values[None, :]


def naive_product(choice: Cell, a_bits: int, w_bits: int) -> int:
    """One product by walking the gates with Python integers."""
    nodes = [0, 1, *((a_bits >> i) & 1 for i in range(8)), *((w_bits >> i) & 1 for i in range(8))]
    for gate, x, y in choice.netlist.gates:
        left, right = nodes[x], nodes[y]
        nodes.append(1 - left if gate == NOT else left & right if gate == AND else left | right if gate == OR
                     else left ^ right)  # fmt: skip
    value = sum(nodes[node] << bit for bit, node in enumerate(choice.netlist.outputs))
    return value - (1 << choice.product_width) if choice.signed and value >> (choice.product_width - 1) else value


@pytest.mark.parametrize("name", names())
def test_table_equals_the_gates_walked_one_by_one(name: str) -> None:
    choice = cell(name)
    rng = np.random.default_rng(0)
    corners = [(0, 0), (128, 128), (255, 255), (127, 128), (128, 0), (0, 255)]
    for a, w in [*corners, *rng.integers(0, 256, (40, 2)).tolist()]:
        assert choice.table[a, w] == naive_product(choice, a, w)


@pytest.mark.parametrize("name", ["exact8s", "exact8u"])
def test_exact_cells_multiply(name: str) -> None:
    a, w = operands(cell(name))
    np.testing.assert_array_equal(cell(name).table, a * w)


@pytest.mark.parametrize("k", range(1, 9))
def test_truncated_worst_error_is_the_sum_of_dropped_weights(k: int) -> None:
    errors = cell(f"truncated8u_k{k}").errors
    assert errors.wce == (k - 1) * 2**k + 1
    assert errors.bias == -errors.wce / 4  # every dropped product is one in a quarter of all pairs


@pytest.mark.parametrize("k", range(1, 8))
def test_signed_truncation_drops_exactly_the_low_partial_products(k: int) -> None:
    choice = cell(f"truncated8s_k{k}")
    a, w = operands(choice)
    dropped = sum(((a >> i) & 1) * ((w >> j) & 1) << (i + j) for i in range(k) for j in range(k - i))
    np.testing.assert_array_equal(choice.table, a * w - dropped)


@pytest.mark.parametrize("name", names("truncated*_c1"))
def test_the_correction_constant_shifts_every_product_alike(name: str) -> None:
    plain = cell(name.removesuffix("_c1")).table
    shift = cell(name).table.astype(np.int64) - plain
    width = cell(name).product_width
    assert len(np.unique(shift % (1 << width))) == 1
    assert abs(cell(name).errors.bias) < abs(cell(name.removesuffix("_c1")).errors.bias)


@pytest.mark.parametrize("name", names("broken_array8u*"))
def test_broken_array_worst_error_is_the_sum_of_dropped_weights(name: str) -> None:
    h, v = (value for _, value in cell(name).parameters)
    dropped = sum(2 ** (i + j) for i in range(8) for j in range(8) if j < h or i + j < v)
    assert cell(name).errors.wce == dropped


def test_kulkarni_errs_by_the_digits_that_are_both_three() -> None:
    a, w = operands(cell("recursive8u"))
    threes = [sum(((x >> 2 * i) & 3 == 3) * 4**i for i in range(4)) for x in (a, w)]
    np.testing.assert_array_equal(cell("recursive8u").table, a * w - 2 * threes[0] * threes[1])
    assert cell("recursive8u").errors.wce == 2 * 85**2


@pytest.mark.parametrize("k", [3, 4, 5, 6])
def test_drum_multiplies_segments_from_the_leading_one(k: int) -> None:
    def segment(x: np.ndarray) -> np.ndarray:
        shift = np.maximum(np.floor(np.log2(np.maximum(x, 1))).astype(int) - (k - 1), 0)
        return np.where(shift > 0, ((x >> shift) | 1) << shift, x)

    a, w = operands(cell(f"drum8u_k{k}"))
    np.testing.assert_array_equal(cell(f"drum8u_k{k}").table, segment(a) * segment(w))


def test_mitchell_adds_linear_logarithms() -> None:
    a, w = operands(cell("mitchell8u"))
    products = np.zeros((256, 256), np.int64)
    for x in range(1, 256):
        for y in range(1, 256):
            kx, ky = x.bit_length() - 1, y.bit_length() - 1
            fraction = (x << 7 >> kx) - 128 + (y << 7 >> ky) - 128  # 7 bits
            mantissa, exponent = (128 + fraction, kx + ky) if fraction < 128 else (fraction, kx + ky + 1)
            products[x, y] = mantissa << exponent >> 7
    np.testing.assert_array_equal(cell("mitchell8u").table, products)
    relative = (a * w - products)[1:, 1:] / (a * w)[1:, 1:]
    assert relative.min() >= 0 and relative.max() <= 1 / 9 + 1e-12  # Mitchell's bound: 11.1 %


@pytest.mark.parametrize("name", ["recursive8s", "mitchell8s", "drum8s_k3", "drum8s_k4", "drum8s_k5", "drum8s_k6"])
def test_sign_magnitude_cells_are_odd_in_both_operands_and_define_minus_128(name: str) -> None:
    magnitudes = cell(name.replace("8s", "8u")).table
    a, w = operands(cell(name))
    np.testing.assert_array_equal(cell(name).table, np.sign(a) * np.sign(w) * magnitudes[np.abs(a), np.abs(w)])


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
