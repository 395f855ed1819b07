"""Thermometers: strict comparison, three rules for thresholds, codes that only grow, gradients."""

import math

import pytest
import torch

from slipstick.errors import UserError
from slipstick.model.weightless.thermometer import (
    RULES,
    SPREAD,
    Thermometer,
    distributive,
    gaussian,
    linear,
    threshold_codes,
)


def normal(count: int = 500, features: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, features, generator=torch.Generator().manual_seed(seed))


def with_thresholds(values: list[list[float]], scale: float = 1.0, surrogate: str = "identity") -> Thermometer:
    thermometer = Thermometer(normal(50, len(values)), len(values[0]), scale, surrogate=surrogate)
    thermometer.thresholds.data.copy_(torch.tensor(values))
    return thermometer


def test_linear_thresholds_divide_the_range():
    data = torch.tensor([[0.0, -10], [2, 5], [8, 10]])
    assert torch.allclose(linear(data, 3), torch.tensor([[2.0, 4, 6], [-5, 0, 5]]))


def test_gaussian_thresholds_are_normal_quantiles():
    data = normal(10_000, 2) * torch.tensor([1.0, 3]) + torch.tensor([0.0, 5])
    found = gaussian(data, 3)
    assert found[:, 1].tolist() == pytest.approx(data.mean(0).tolist(), abs=1e-4)
    assert ((found[:, 2] - found[:, 1]) / data.std(0)).tolist() == pytest.approx([0.67449] * 2, abs=1e-4)


def test_distributive_thresholds_are_values_of_equal_rank_distance():
    data = torch.tensor([[5.0], [1], [9], [7], [3], [0], [2]])
    assert distributive(data, 3).tolist() == [[1.0, 3.0, 7.0]]  # ranks int(7 * k / 4) = 1, 3, 5


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("count", [1, 2, 8])
def test_codes_are_monotone(rule, count):
    thermometer = Thermometer(normal(), count, 0.03, rule)
    ramp = torch.linspace(-6, 6, 400)[:, None].expand(-1, 3)
    codes = thermometer(ramp).codes.unflatten(0, (3, count)).int()
    assert (codes.diff(dim=1) <= 0).all()  # a higher threshold never fires without the lower ones
    assert (codes.diff(dim=2) >= 0).all()  # a larger feature never loses a bit
    assert codes[:, :, 0].sum() == 0 and codes[:, :, -1].all()


def test_codes_stay_monotone_when_learning_swaps_thresholds():
    thermometer = with_thresholds([[3.0, -1.0, 1.0]])
    codes = thermometer(torch.tensor([[-2.0], [0.0], [2.0], [4.0]])).codes
    assert codes.T.tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert thermometer.codes().tolist() == [[-1, 1, 3]]


def test_comparison_is_strict():
    thermometer = with_thresholds([[2.0, 2.5]])
    assert thermometer(torch.tensor([[2.0], [3.0]])).codes.T.tolist() == [[0, 0], [1, 1]]


@pytest.mark.parametrize("scale", [0.0213, 1.0, 3.7])
def test_integer_thresholds_decide_like_real_ones_for_every_code(scale):
    thresholds = torch.linspace(-130 * scale, 130 * scale, 1001).clamp(-128 * scale, 127 * scale)
    codes = torch.arange(-128.0, 128)
    margin = (codes[:, None] * scale - thresholds).abs() > 1e-4 * scale
    wanted, found = (
        codes[:, None] * scale > thresholds,
        codes[:, None] > threshold_codes(thresholds, torch.tensor(scale)),
    )
    assert torch.equal(wanted[margin], found[margin])


def test_features_are_rounded_to_int8_codes_first():
    thermometer = with_thresholds([[1.2]], scale=0.5)
    assert thermometer(torch.tensor([[1.2], [1.26], [1000.0], [-1000.0]])).codes.tolist() == [[0, 1, 1, 0]]


def test_the_identity_surrogate_is_one_for_features_and_minus_one_for_thresholds():
    thermometer = with_thresholds([[0.0, 5.0], [1.0, 2.0]], 0.1)
    x = normal(4, 2).requires_grad_()
    gradient = normal(4, 4, 1).T
    (thermometer(x).values() * gradient).sum().backward()
    by_feature = gradient.reshape(2, 2, 4)
    assert torch.allclose(x.grad, by_feature.sum(1).T)
    assert torch.allclose(thermometer.thresholds.grad, -by_feature.sum(2))


def test_the_window_surrogate_acts_near_a_threshold_only():
    thermometer = with_thresholds([[0.0, 40.0]], 0.01, "window")
    width = float(thermometer.width[0])
    x = torch.tensor([[0.0], [0.4 * width], [0.6 * width]], requires_grad=True)
    thermometer(x).values().sum().backward()
    assert x.grad.flatten().tolist() == pytest.approx([1 / width, 1 / width, 0])
    assert thermometer.thresholds.grad.tolist()[0] == pytest.approx([-2 / width, 0])


def test_the_window_covers_a_normal_feature_once():
    width = Thermometer(normal(2000, 1), 6, 0.01).width
    assert float(width) * 7 == pytest.approx(SPREAD, rel=0.1) and not math.isnan(float(width))


def test_thresholds_that_are_not_learnt_have_no_gradient():
    thermometer = Thermometer(normal(), 2, 0.1, learnt=False)
    thermometer(normal().requires_grad_()).values().sum().backward()
    assert thermometer.thresholds.grad is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "thresholds 0: must be from 1 to 255"),
        ({"rule": "uniform"}, "rules are linear, gaussian, distributive"),
        ({"surrogate": "sigmoid"}, "surrogates window, identity"),
    ],
)
def test_bad_settings_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        Thermometer(normal(), **{"count": 3, "scale": 0.1} | options)
