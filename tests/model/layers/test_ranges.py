"""The range of every operand: never worse at the output than what a single method gives, whatever the values."""

import copy

import pytest
import torch
from torch import nn

from slipstick.errors import UserError
from slipstick.model.convert import approximate_, table_layers
from slipstick.model.layers.config import METHODS, QuantConfig
from slipstick.model.layers.matmul import ApproxMatmul
from slipstick.model.layers.ranges import CLIPS
from slipstick.model.layers.slopes import GradientConfig
from slipstick.model.layers.table_layer import TableLayer
from slipstick.model.layers.weights import WeightLayer
from tests.model.layers.test_layers import Small, images

SINGLE = [QuantConfig(method) for method in METHODS if method != "output"] + [QuantConfig("percentile", 99.9)]
BITS = [{}, {"weight_bits": 4}, {"activation_bits": 5, "weight_bits": 3}]


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(5))


def with_(values: torch.Tensor, place, value: float) -> torch.Tensor:
    values[place] = value
    return values


INPUTS = {
    "normal": normal(24, 40),
    "constant": torch.full((24, 40), 0.3),
    "one-hot": torch.eye(40)[:24],
    "one column": with_(torch.zeros(24, 40), (slice(None), 3), 1.0),
    "sparse": normal(24, 40) * (normal(24, 40).abs() > 2.5),
    "after ReLU": normal(24, 40).relu(),
    "outlier channel": with_(normal(24, 40), (slice(None), 5), 60.0),
    "outlier token": with_(normal(24, 40), 7, 40.0),
    "single outlier": with_(normal(24, 40), (2, 3), 1e4),
    "tiny": 1e-20 * normal(24, 40),
    "huge": 1e15 * normal(24, 40),
    "zeros": torch.zeros(24, 40),
}


def linear() -> nn.Module:
    """Rows that many inputs share."""
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(40, 6))


class Conv(nn.Module):
    """Images made of the rows."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.conv = nn.Conv2d(1, 6, 3, padding=1, groups=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x.view(len(x), 1, 5, 8)).flatten(2).transpose(1, 2)


class Product(nn.Module):
    """Two activations made of the rows, with ranges that differ by a hundred."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.matmul(x.view(len(x), 2, 4, 5), 100 * x.view(len(x), 2, 5, 4).flip(-1))


MODELS = {"Linear": linear, "Conv2d": Conv, "product": Product}


def converted(model: nn.Module, data: torch.Tensor, config: QuantConfig) -> tuple[nn.Module, TableLayer]:
    approximate_(twin := copy.deepcopy(model).eval(), {}, [data], config)
    (layer,) = table_layers(twin).values()
    return twin, layer


@torch.no_grad()
def output_error(model: nn.Module, data: torch.Tensor, config: QuantConfig) -> float:
    """Squared error of the only layer's outputs, weighted by the squared gradient that calibration kept."""
    twin, layer = converted(model, data, config)
    gradient = layer.sample.gradient
    assert gradient is not None
    weight = gradient.double().square() if gradient.abs().max() > 0 else torch.ones_like(gradient).double()
    difference = (twin(data) - model(data)).double().view_as(weight)
    return float((weight / weight.max() * difference.square()).sum())


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("inputs", INPUTS)
def test_no_single_method_has_a_smaller_error_at_the_output(name: str, inputs: str) -> None:
    if (name, inputs) == ("product", "huge"):
        pytest.skip("products beyond float32")
    model, data = MODELS[name](), INPUTS[inputs]
    for bits in BITS:
        found = output_error(model, data, QuantConfig(**bits))
        for single in SINGLE:
            other = output_error(model, data, QuantConfig(single.method, single.percentile, **bits))
            assert found <= other * 1.002 + 1e-30, (bits, single)


@pytest.mark.parametrize("method", METHODS)
def test_one_column_of_ones_among_zeros_keeps_its_range(method: str) -> None:
    data = torch.zeros(4, 20_000)
    data[:, 11] = 1
    model = nn.Sequential(nn.Linear(20_000, 3))
    twin, layer = converted(model, data, QuantConfig(method))
    assert float(layer.activation_scale) * 127 == pytest.approx(1, rel=1e-3)
    with torch.no_grad():
        torch.testing.assert_close(twin(data), model(data), rtol=0, atol=1e-4)


def test_outliers_that_only_later_batches_have_are_not_forgotten() -> None:
    torch.manual_seed(0)
    model, first, later = nn.Sequential(nn.Linear(40, 6)), torch.randn(32, 40), torch.randn(200, 40)
    later[:, 4] *= 50
    approximate_(model, {}, [first, later])
    (layer,) = table_layers(model).values()
    assert float(layer.activation_scale) * 127 > 0.5 * later.abs().max()
    assert layer.ranges[0].largest == pytest.approx(float(later.abs().max()))


def test_among_ranges_that_cost_the_same_the_widest_is_taken() -> None:
    model = nn.Sequential(nn.Linear(4, 2))
    nn.init.zeros_(model[0].weight)  # no activation matters
    _, layer = converted(model, torch.randn(20, 4), QuantConfig())
    assert layer.ranges[0].beyond == 1 and (layer.weight_clip == 1).all()


@pytest.mark.parametrize("bits", [{}, {"weight_bits": 4}, {"activation_bits": 6, "stationary_bits": 3}])
def test_the_report_says_what_the_codes_clip(bits: dict) -> None:
    torch.manual_seed(0)
    model = Small().eval()
    data = images(32) * torch.randn(32, 3, 12, 12).exp()  # heavy tails
    report = approximate_(model, {}, [data], QuantConfig("percentile", 99, **bits))
    stem = table_layers(model)["stem"]
    (inputs, *_) = report.ranges["stem"]
    range_ = float(stem.activation_scale) * stem.high
    sizes = data.double().abs()
    assert inputs.range == pytest.approx(range_) and inputs.largest == pytest.approx(float(sizes.max()))
    assert inputs.beyond == pytest.approx(float(sizes.max()) / range_)
    assert inputs.values == pytest.approx(float((sizes > range_).double().mean()), abs=1e-3)
    excess = (sizes - range_).clamp(min=0).square().sum() / sizes.square().sum()
    assert inputs.energy == pytest.approx(float(excess), rel=0.01)
    assert inputs.suspicious and any(line.startswith("stem: input") for line in report.warnings())
    assert str(report).count("warning: look at the range of") == len(report.warnings())
    worst = report.worst_ranges(3)
    assert [one.energy for _, one in worst] == sorted((one.energy for _, one in worst), reverse=True)


def test_the_largest_value_clips_nothing_and_warns_of_nothing() -> None:
    torch.manual_seed(0)
    model = Small().eval()
    report = approximate_(model, {}, [images()], QuantConfig("minmax"))
    assert not report.warnings() and not report.worst_ranges()
    assert all(one.values == one.energy == 0 for ranges in report.ranges.values() for one in ranges)


def test_clipped_weights_err_less_at_the_output_and_the_report_counts_them() -> None:
    torch.manual_seed(0)
    model, data = nn.Sequential(nn.Linear(64, 8)), torch.randn(32, 64)
    with torch.no_grad():
        model[0].weight[:, 0] = 1.5  # one weight that stands out in every channel
        data[:, 0] *= 0.01  # and hardly matters
    errors = [output_error(model, data, QuantConfig(weight_bits=4, clip_weights=clip)) for clip in (True, False)]
    assert errors[0] < 0.7 * errors[1]
    _, layer = converted(model, data, QuantConfig(weight_bits=4))
    assert isinstance(layer, WeightLayer)
    clip = layer.weight_clip
    assert (clip < 0.8).all() and set(clip.tolist()) <= set(torch.tensor(CLIPS).tolist())
    limits = model[0].weight.abs().amax(1) * clip
    assert layer.weight_codes.abs().max() == 7
    torch.testing.assert_close(layer.weight_scale, limits / 7)
    report = layer.ranges[1]
    beyond = (model[0].weight.abs() > limits[:, None]).double().mean()
    assert report.operand == "weights" and report.values == pytest.approx(float(beyond))
    assert report.beyond == pytest.approx(float(1 / clip.min()))


def test_gradients_stop_where_weights_are_clipped() -> None:
    torch.manual_seed(0)
    model, data = nn.Sequential(nn.Linear(64, 8)), torch.randn(32, 64)
    with torch.no_grad():
        model[0].weight[:, 0] = 1.5
        data[:, 0] *= 0.01
    twin, layer = converted(model, data, QuantConfig(weight_bits=4))
    assert isinstance(layer, WeightLayer)
    layer.gradient = GradientConfig("clipped")
    twin(data).square().sum().backward()
    beyond = layer.weight.detach().abs() > (layer.weight_scale * 7.5)[:, None]
    assert layer.weight.grad is not None and beyond[:, 0].all()
    assert ((layer.weight.grad == 0) == beyond).all()


@pytest.mark.parametrize(
    ("bits", "held"),
    [({"weight_bits": 4}, 4), ({"activation_bits": 5}, 5), ({"activation_bits": 6, "weight_bits": 4}, 4),
     ({"stationary_bits": 3}, 3), ({"weight_bits": 4, "stationary_bits": 8}, 8), ({}, 8)],
)  # fmt: skip
@pytest.mark.parametrize("method", ["output", "minmax"])
def test_every_operand_stays_within_its_bits(bits: dict, held: int, method) -> None:
    torch.manual_seed(0)
    model = Small().eval()
    config = QuantConfig(method, **bits)
    approximate_(model, {}, images().split(20), config)
    seen: dict[str, list[int]] = {}

    def extremes(name: str, codes: torch.Tensor) -> None:
        low, high = seen.get(name, [0, 0])
        seen[name] = [min(low, int(codes.min())), max(high, int(codes.max()))]

    def record(path, layer, codes, stationary, total) -> None:
        extremes("activations", codes)
        extremes("held" if isinstance(layer, ApproxMatmul) else "weights", stationary)

    for layer in table_layers(model).values():
        layer.recorder = record
    with torch.no_grad():
        inferred = model(4 * images())  # beyond what calibration saw
    trained = model(4 * images())
    assert torch.equal(inferred, trained)
    low, high = -(2 ** (config.activation_bits - 1)), 2 ** (config.activation_bits - 1) - 1
    assert low <= seen["activations"][0] and seen["activations"][1] <= high
    assert seen["held"] == [-(2 ** (held - 1)), 2 ** (held - 1) - 1]
    assert max(map(abs, seen["weights"])) == 2 ** (config.weight_bits - 1) - 1


@pytest.mark.parametrize(
    "bits", [{"stationary_bits": 1}, {"stationary_bits": 9}, {"activation_bits": 5, "stationary_bits": 6}]
)
def test_bits_of_the_second_activation_out_of_range_are_refused(bits: dict) -> None:
    with pytest.raises(UserError, match="stationary_bits .*must be"):
        QuantConfig(**bits)
