"""The tables of an integer ViT: scales that suit the inputs, and no surprise at inputs that calibration never saw."""

import numpy as np
import pytest
import torch
from torch import nn

from slipstick.errors import UserError
from slipstick.model.integer.config import IntegerConfig
from slipstick.model.integer.observe import BINS, EDGE
from slipstick.model.integer.tables import activation_function, activation_table, root_table, softmax_tables
from slipstick.model.pwl.functions import GELU, SILU, Function


def histogram(spread: float) -> torch.Tensor:
    values = np.random.default_rng(0).normal(0, spread, 100_000)
    counts, _ = np.histogram(np.clip(values, -EDGE, EDGE - 1e-6), BINS, (-EDGE, EDGE))
    return torch.from_numpy(counts.astype(float))


@pytest.mark.parametrize(("spread", "fraction"), [(0.3, 8), (1.0, 7), (4.0, 5)])
def test_wider_inputs_get_a_coarser_scale(spread: float, fraction: int) -> None:
    assert activation_table(GELU, histogram(spread), IntegerConfig()).input_fraction == fraction


@pytest.mark.parametrize(("high", "fraction"), [(3.5, 7), (9.5, 5)])
def test_rare_inputs_keep_what_the_next_layer_holds_of_them(high: float, fraction: int) -> None:
    counts = histogram(0.3)
    counts[int((12 + EDGE) / (2 * EDGE) * BINS)] = 1  # one in 100,000
    table = activation_table(GELU, counts, IntegerConfig(), -high, high)
    assert table.input_fraction == fraction
    assert table.values(np.array([table.input_range[1]]))[0] >= high


@pytest.mark.parametrize("width", [8, 10, 12])
def test_inputs_wider_than_every_scale_get_the_widest(width: int) -> None:
    config = IntegerConfig(activation_width=width)
    table = activation_table(GELU, histogram(200.0), config, -EDGE, EDGE)
    assert table.input_fraction == width - 8 and table.input_range[0] * 2.0**-table.input_fraction == -EDGE


@pytest.mark.parametrize("function", [GELU, SILU])
@pytest.mark.parametrize("spread", [0.3, 1.0, 4.0])
def test_codes_that_calibration_never_saw_are_near_the_function_too(function: Function, spread: float) -> None:
    table = activation_table(function, histogram(spread), IntegerConfig())
    codes = np.arange(table.input_range[0], table.input_range[1] + 1)
    assert np.abs(table.values(codes) - function(codes * 2.0**-table.input_fraction)).max() < 0.1


def test_softmax_and_layer_norm_tables_are_within_a_unit_of_their_coefficients() -> None:
    exponential, reciprocal = softmax_tables(IntegerConfig())
    root = root_table(IntegerConfig())
    codes = np.arange(-128, 1)
    assert np.abs(exponential.values(codes) - np.exp(codes / 16)).max() < 2 * 2.0**-exponential.format.fraction
    assert exponential.format.fraction == 8
    one = np.arange(256, 512)
    assert np.abs(reciprocal.values(one) - 256 / one).max() < 0.01
    mantissas = np.arange(256, 1024)
    assert np.abs(root.values(mantissas) - np.sqrt(256 / mantissas)).max() < 0.01


def test_an_unknown_activation_is_refused_by_name() -> None:
    with pytest.raises(UserError, match="no piecewise linear form of Mish; known are GELU"):
        activation_function(nn.Mish())
