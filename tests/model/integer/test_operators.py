"""Integer operators in torch: the numbers of the NumPy contract, and the gradients of the float functions."""

import numpy as np
import pytest
import torch
from torch import nn

from slipstick.model.integer.activation import PwlActivation
from slipstick.model.integer.codes import TORCH, Codes
from slipstick.model.integer.norm import IntegerLayerNorm
from slipstick.model.integer.products import Requantiser, add, token_mean
from slipstick.model.integer.softmax import IntegerSoftmax
from slipstick.rtl.spec.fixed import Requant
from slipstick.rtl.spec.residual import residual
from tests.rtl.spec.tables import EXPONENTIAL, RECIPROCAL, ROOT, chords

RNG = np.random.default_rng(5)
HALF_UP = chords("half", lambda x: x / 2 + np.abs(x) / 3, -8, 8, 4, 8)


def scale(value: float) -> torch.Tensor:
    return torch.tensor(value)


def with_values(codes: np.ndarray, unit: float) -> Codes:
    """Codes in training: their values want a gradient."""
    tensor = torch.from_numpy(codes)
    return Codes(tensor, scale(unit), (tensor.float() * unit).requires_grad_())


@pytest.mark.parametrize("extreme", [2**10, 2**20, 2**31 - 1])
def test_softmax_gives_the_numbers_of_numpy(extreme):
    rows = RNG.integers(-extreme, extreme, (3, 5, 17))
    softmax = IntegerSoftmax(0.25, EXPONENTIAL, RECIPROCAL, 7)
    found = softmax(Codes(torch.from_numpy(rows), scale(1e-4)), scale(2**-7))
    assert found.codes.dtype == torch.int8
    assert np.array_equal(found.codes.numpy(), softmax.spec(scale(1e-4), 17)(rows))


def test_layer_norm_gives_the_numbers_of_numpy():
    norm = nn.LayerNorm(24)
    IntegerLayerNorm.take_over_(norm, ROOT)
    assert isinstance(norm, IntegerLayerNorm)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    rows = RNG.integers(-(2**15), 2**15, (4, 7, 24))
    out = scale(0.03)
    found = norm(Codes(torch.from_numpy(rows).int(), scale(1e-3)), out)
    assert np.array_equal(found.codes.numpy(), norm.spec(scale(1e-3), out)[0](rows))


def test_tables_give_the_numbers_of_numpy_for_every_code():
    for table in (EXPONENTIAL, RECIPROCAL, ROOT, HALF_UP):
        low, high = table.input_range
        codes = np.arange(low, high + 1)
        assert np.array_equal(TORCH.results(table, torch.from_numpy(codes)).numpy(), table(codes, np.where))


def test_an_activation_is_requantise_table_requantise():
    activation = PwlActivation(lambda x: x / 2 + x.abs() / 3, HALF_UP)
    unit, out = 3e-4, 0.05
    accumulators = RNG.integers(-(2**18), 2**18, (6, 50))
    before = Requant.from_scale(np.array([np.float32(unit) / 2.0**-4]))
    after = Requant.from_scale(np.array([2.0**-HALF_UP.fraction / np.float32(out)]))
    wanted = after(HALF_UP(before(accumulators), np.where))
    found = activation(Codes(torch.from_numpy(accumulators), scale(unit)), scale(out))
    assert np.array_equal(found.codes.numpy(), wanted)
    assert np.array_equal(activation.spec(scale(unit), scale(out))(accumulators), wanted)


def test_the_residual_sum_is_the_contracts():
    stream = RNG.integers(-(2**15), 2**15, 1000)
    accumulators = RNG.integers(-(2**24), 2**24, 1000)
    requantiser, unit, out = Requantiser(-(2**15), 2**15 - 1), scale(1e-4), scale(3e-3)
    branch = requantiser(Codes(torch.from_numpy(accumulators), unit), out)
    multiplier, shift = (int(part) for part in requantiser.constants(unit, out))
    found = add(Codes(torch.from_numpy(stream).int(), out), branch).codes.numpy()
    wanted = [residual(int(x), int(acc), multiplier, shift) for x, acc in zip(stream, accumulators, strict=True)]
    assert found.tolist() == wanted


def test_a_mean_of_tokens_is_rounded_half_up():
    codes = RNG.integers(-(2**15), 2**15, (3, 64, 5))
    found = token_mean(Codes(torch.from_numpy(codes).int(), scale(1.0)), 64).codes.numpy()
    assert np.array_equal(found, np.floor(codes.sum(1) / 64 + 0.5))


def test_gradients_are_those_of_the_float_functions():
    unit, out = 0.01, scale(2**-7)
    x = with_values(RNG.integers(-200, 200, (4, 9)), unit)
    reference = x.values.detach().clone().requires_grad_()
    IntegerSoftmax(0.5, EXPONENTIAL, RECIPROCAL, 7)(x, out).values.square().sum().backward()
    weights = IntegerSoftmax(0.5, EXPONENTIAL, RECIPROCAL, 7)(Codes(x.codes, x.scale), out).codes.float() * 2**-7
    (2 * weights * (0.5 * reference).softmax(-1)).sum().backward()
    assert torch.allclose(x.values.grad, reference.grad, atol=1e-5)


def test_a_saturated_code_has_no_gradient():
    x = with_values(np.array([[-40_000, 0, 40_000]]), 1e-2)
    requantised = Requantiser()(x, scale(1.0))
    assert requantised.codes.tolist() == [[-128, 0, 127]]
    requantised.values.sum().backward()
    assert x.values.grad.tolist() == [[0, 1, 0]]
