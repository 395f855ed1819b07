"""Requantisation: Python, NumPy, torch and the compiled pass give the same integers."""

from unittest.mock import patch

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from slipstick.model.layers.quantise import requantise_codes
from slipstick.rtl.spec.fixed import MULTIPLIER_BITS, Requant, requantise

CORNERS = [0, 1, -1, 2**31 - 1, -(2**31), 2**30, -(2**30), 127, -128, 128, -129]
accumulators = st.one_of(st.sampled_from(CORNERS), st.integers(-(2**31), 2**31 - 1))


@given(
    st.lists(accumulators, min_size=1, max_size=40),
    st.integers(0, 2**MULTIPLIER_BITS - 1),
    st.one_of(st.sampled_from([1, 15, 16, 62, 63]), st.integers(1, 63)),
)
def test_python_numpy_torch_and_the_compiled_pass_agree(values: list[int], multiplier: int, shift: int) -> None:
    requant = Requant(np.array([multiplier]), np.array([shift]))
    by_hand = [min(max((value * multiplier + (1 << (shift - 1))) >> shift, -128), 127) for value in values]
    column = np.array(values, np.int64)[:, None]
    assert [requantise(value, multiplier, shift) for value in values] == by_hand
    assert requant(column)[:, 0].tolist() == by_hand
    sums = torch.from_numpy(column).int()
    compiled = requantise_codes(sums, requant)
    with patch("slipstick.model.layers.quantise.available", return_value=False):
        plain = requantise_codes(sums, requant)
    assert compiled.dtype == plain.dtype == torch.int8
    assert compiled[:, 0].tolist() == plain[:, 0].tolist() == by_hand


@given(st.floats(1e-12, 32767.0))
def test_the_dyadic_scale_is_within_its_precision(scale: float) -> None:
    requant = Requant.from_scale(np.array([scale]))
    value = float(requant.multiplier[0]) * 2.0 ** -float(requant.shift[0])
    assert abs(value - scale) <= scale * 2.0**-MULTIPLIER_BITS + 2.0**-63
