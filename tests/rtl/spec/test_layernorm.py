"""Integer LayerNorm: one contract for Python integers and NumPy, near the real function."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstick.errors import UserError
from slipstick.rtl.spec.fixed import choose
from slipstick.rtl.spec.layernorm import LayerNormSpec
from tests.rtl.spec.tables import RECIPROCAL, ROOT

DIM, SCALE, OUT = 24, 1e-3, 4 / 127
RNG = np.random.default_rng(3)
WEIGHT, BIAS = RNG.normal(0, 1, DIM), RNG.normal(0, 0.5, DIM)
SPEC = LayerNormSpec.from_float(WEIGHT, BIAS, 1e-6, SCALE, OUT, ROOT)


def by_integers(row: list[int]) -> list[int]:
    """The contract in Python integers, which have no width."""
    mean = SPEC.mean(sum(row))
    deviations = [x - mean for x in row]
    squares = sum(d * d for d in deviations) + SPEC.epsilon
    half = (squares.bit_length() - 1) // 2
    root = ROOT(SPEC.mantissa(squares, half))
    units = [SPEC.unit(d, root, half, choose) for d in deviations]
    return [SPEC.output(u, int(g), int(b), choose) for u, g, b in zip(units, SPEC.gain, SPEC.bias, strict=True)]


@given(st.lists(st.integers(-(2**15), 2**15 - 1), min_size=DIM, max_size=DIM))
def test_numpy_computes_the_contract_of_python_integers(row):
    assert SPEC(np.array(row, np.int64)).tolist() == by_integers(row)


@pytest.mark.parametrize("row", [[0] * DIM, [-(2**15)] * DIM, [2**15 - 1, -(2**15)] * (DIM // 2)])
def test_corner_rows_keep_within_the_proved_width_of_the_squares(row):
    deviation = np.array(row, np.int64) - SPEC.mean(sum(row))
    assert int((deviation**2).sum()) + SPEC.epsilon < 1 << SPEC.square_width
    assert SPEC(np.array(row, np.int64)).tolist() == by_integers(row)


def test_outputs_are_near_those_of_the_real_function():
    rows = RNG.integers(-3000, 3000, (200, DIM))
    real = rows * SCALE
    centred = real - real.mean(-1, keepdims=True)
    wanted = centred / np.sqrt(real.var(-1, keepdims=True) + 1e-6) * WEIGHT + BIAS
    found = SPEC(rows) * OUT
    assert np.abs(found - np.clip(wanted, -128 * OUT, 127 * OUT)).max() < 2 * OUT


def test_constants_and_tables_out_of_range_are_refused():
    with pytest.raises(UserError, match="mantissas up to 4"):
        LayerNormSpec(SPEC.gain, SPEC.bias, SPEC.shift, 1, RECIPROCAL)
    with pytest.raises(UserError, match="gains"):
        LayerNormSpec(SPEC.gain * 4, SPEC.bias, SPEC.shift, 1, ROOT)
    with pytest.raises(UserError, match="epsilon 0"):
        LayerNormSpec(SPEC.gain, SPEC.bias, SPEC.shift, 0, ROOT)
