"""Channels whose weights are nothing beside their bias, or beside those of others: no bias is lost, none clamped."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from timm.layers import SwiGLU
from timm.layers.mlp import Mlp
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from slipstick.errors import UserError
from slipstick.model.convert import approximate_
from slipstick.model.layers.gradients import set_gradient_
from slipstick.model.layers.scales import BIAS_LIMIT
from slipstick.model.layers.slopes import GradientConfig
from slipstick.rtl.spec.layernorm import LayerNormSpec
from slipstick.rtl.spec.pwl import PwlTable

ORDERS = st.floats(-36, 2).map(lambda order: 10.0**order)  # of magnitude
MAYBE = st.one_of(st.just(0.0), ORDERS)


def filled(layer: nn.Linear | nn.Conv2d, weights: list[float], biases: list[float]) -> None:
    with torch.no_grad():
        for n, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            layer.weight[n] *= weight
            layer.bias[n] = bias


NONE = [0.0] * 6


@settings(max_examples=60, deadline=None, phases=[Phase.explicit, Phase.generate])
@example([2.631100217494173e-34, *NONE[1:]], NONE, 0.0, "linear")  # outputs below every accumulator's unit
@example([*NONE[:3], 3.1941236169313806e-05, 0.0, 0.0], [1e-36, *NONE[1:]], 3.6, "linear")  # a bias next to nothing
@given(
    st.lists(MAYBE, min_size=6, max_size=6), st.lists(MAYBE, min_size=6, max_size=6), st.floats(-6, 6),
    st.sampled_from(["linear", "convolution"]),
)  # fmt: skip
def test_weights_and_bias_of_every_channel_are_within_half_a_code(weights, biases, order, kind) -> None:
    torch.manual_seed(0)
    if kind == "linear":
        model: nn.Module = nn.Sequential(nn.Linear(64, 6))
        data = torch.randn(50, 64) * 10.0**order
    else:
        model, data = nn.Sequential(nn.Conv2d(4, 6, 3, groups=2)), torch.randn(20, 4, 7, 7) * 10.0**order
    filled(model[0], weights, biases)
    approximate_(model, {}, [data])
    layer = model[0]
    weight, bias = layer.weight.detach().double().flatten(1), layer.bias.detach().double()
    scale, unit = layer.weight_scale.double(), layer.product_scale().double()
    codes = layer.weight_codes.double().movedim(-1, -2).reshape(weight.shape)
    assert (codes * scale[:, None] - weight).abs().amax(1).le(scale * 0.5001).all()
    assert (layer.bias_codes().double() * unit - bias).abs().le(unit * 0.5001 + bias.abs() * 2.0**-22).all()
    some = (weight != 0).any(1) | (bias != 0)
    least = torch.maximum(weight.abs().amax(1) / 127, bias.abs() / (BIAS_LIMIT * layer.activation_scale.double()))
    assert (scale[some] <= (least[some] + 2.0**-100 / min(1, float(layer.activation_scale))) * 1.0001).all()
    assert torch.isfinite(unit).all() and (unit >= 2.0**-101).all() and len(layer.requant().shift) == 6


@torch.no_grad()
def test_a_bias_survives_beside_weights_of_next_to_nothing() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 8))
    model[0].weight[3], model[0].bias[3] = 1e-12, 0.5
    model[0].weight[5], model[0].bias[5] = 0.0, 0.2
    data = torch.randn(100, 64) * 20
    approximate_(model, {}, [data])
    assert (model(data)[:, 3] - 0.5).abs().max() < 1e-6 and (model(data)[:, 5] - 0.2).abs().max() < 1e-6


@torch.no_grad()
def test_a_dead_channel_stays_small_under_cells_that_err_at_zero() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 4))
    model[0].weight[1], model[0].bias[1] = 0.0, 0.0
    data = torch.randn(100, 64)
    approximate_(model, {"default": "truncated8s_k8_c1"}, [data])
    others = model(data)[:, [0, 2, 3]].abs().max()
    assert model(data)[:, 1].abs().max() < others


def test_a_bias_that_grows_while_training_is_followed() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 3))
    with torch.no_grad():
        model[0].weight[1] = 1e-9
    data = torch.randn(64, 16)
    approximate_(model, {"default": "drum8s_k4"}, [data])
    set_gradient_(model, GradientConfig())
    optimiser = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(60):
        optimiser.zero_grad()
        loss = (model(data)[:, 1] - 3).square().mean()
        loss.backward()
        model[0].weight.grad = None
        optimiser.step()
    with torch.no_grad():
        assert (model(data)[:, 1] - 3).abs().max() < 0.01


def vit(**options) -> VisionTransformer:
    torch.manual_seed(0)
    return VisionTransformer(
        img_size=32, patch_size=8, embed_dim=48, depth=3, num_heads=3, num_classes=10, **options
    ).eval()


@pytest.mark.parametrize(
    "options",
    [
        {"mlp_layer": SwiGLU},
        {"mlp_layer": Mlp},
        {"qk_norm": True},
        {"init_values": 1e-5},
        {"class_token": False, "global_pool": "avg"},
    ],
    ids=["SwiGLU", "Mlp", "qk norm", "layer scale", "average"],
)
@pytest.mark.parametrize("biases", [None, 1e-3, 3.0])
@torch.no_grad()
def test_a_vit_as_initialised_is_near_to_float(options: dict, biases: float | None) -> None:
    model = vit(**options)
    if biases is not None:
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.copy_(torch.randn(parameter.shape) * biases)
    original, data = copy.deepcopy(model), torch.randn(16, 3, 32, 32)
    approximate_(model, {}, [data])
    assert torch.cosine_similarity(model(data).flatten(), original(data).flatten(), 0) > 0.99


@pytest.mark.parametrize("weak", ["attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2", "norm1", "norm2"])
@torch.no_grad()
def test_weak_layers_have_an_integer_form_too(weak: str) -> None:
    model = vit()
    for block in model.blocks:
        layer = block.get_submodule(weak)
        layer.weight[: len(layer.weight) // 2] *= 1e-9
        layer.weight[0] = 0
        layer.bias.copy_(torch.randn(layer.bias.shape))
    original, data = copy.deepcopy(model), torch.randn(16, 3, 32, 32)
    approximate_(model, {}, [data], integer=True)
    assert torch.cosine_similarity(model(data).flatten(), original(data).flatten(), 0) > 0.97


@torch.no_grad()
def test_a_layer_norm_of_next_to_no_gain_keeps_its_bias() -> None:
    root = PwlTable("rsqrt", 8, (400,), (-1, -1), (100, 100), input_width=11)
    spec = LayerNormSpec.from_float(np.full(8, 1e-20), np.linspace(-1, 1, 8), 1e-6, 1e-3, 0.01, root)
    rows = np.random.default_rng(0).integers(-3000, 3000, (20, 8))
    np.testing.assert_array_equal(spec(rows), np.broadcast_to(np.rint(np.linspace(-1, 1, 8) / 0.01 + 1e-9), (20, 8)))


def test_sums_that_may_leave_int32_are_refused() -> None:
    model = nn.Sequential(nn.Linear(70000, 2))
    with torch.no_grad():
        model[0].weight[1], model[0].bias[1] = 0, 1.0
    with pytest.raises(UserError, match=r"layer '0': sums .* more than int32 holds"):
        approximate_(model, {}, [torch.randn(2, 70000)])


@pytest.mark.parametrize("where", ["weight", "bias"])
def test_parameters_that_are_no_numbers_are_refused_when_used(where: str) -> None:
    model = nn.Sequential(nn.Linear(4, 2))
    data = torch.randn(8, 4)
    approximate_(model, {}, [data])
    with torch.no_grad():
        getattr(model[0], where)[0] = float("nan")
        with pytest.raises(UserError, match=f"layer '0': its {where} holds NaN"):
            model(data)
