"""Converted layers: exact cells keep the numbers, mixes go to the right columns, geometry is kept."""

import numpy as np
import pytest
import torch
from timm.layers.attention import Attention
from torch import nn

from slipstick.errors import UserError
from slipstick.model.convert import approximate_, assign_, describe, table_layers
from slipstick.model.gemm import approx_matmul
from slipstick.model.layers.config import QuantConfig
from slipstick.model.layers.heads import PerHead
from slipstick.model.layers.linear import ApproxLinear
from slipstick.model.predict import predicted_damage
from slipstick.model.workload import record
from slipstick.rtl.cells import cell
from slipstick.rtl.spec import array
from slipstick.rtl.spec.array import ArrayConfig, CellMix


class Small(nn.Module):
    """A stem convolution, an attention and a head: every kind of layer once."""

    def __init__(self, **attention) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False)
        self.attention = Attention(16, num_heads=2, qkv_bias=True, **attention)
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        tokens = self.stem(x).flatten(2).transpose(1, 2)
        return self.head((tokens + self.attention(tokens)).mean(1))


def images(count: int = 40) -> torch.Tensor:
    return torch.randn(count, 3, 12, 12, generator=torch.Generator().manual_seed(0))


def converted(rules=None, **attention) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    model = Small(**attention).eval()
    twin = Small(**attention).eval()
    twin.load_state_dict(model.state_dict())
    approximate_(model, rules or {}, images().split(20))
    return model, twin


@pytest.mark.parametrize("options", [{}, {"qk_norm": True, "norm_layer": nn.LayerNorm}, {"gated": True}])
@torch.no_grad()
def test_exact_cells_stay_close_to_float(options: dict) -> None:
    model, twin = converted(**options)
    wanted = twin(images())
    assert (model(images()) - wanted).abs().max() < 0.05 * wanted.abs().max()


@torch.no_grad()
def test_both_attention_products_are_converted() -> None:
    model, _ = converted()
    assert list(table_layers(model)) == [
        "stem", "attention.qkv", "attention.proj", "attention.qk", "attention.av", "head",
    ]  # fmt: skip
    before = model(images(4))
    assign_(model, {"attention.qk": "truncated8s_k10"})
    assert not torch.equal(model(images(4)), before)


def test_state_dict_keeps_names_and_values() -> None:
    model, twin = converted()
    state = model.state_dict()
    for name, value in twin.state_dict().items():
        assert torch.equal(state[name], value)


@pytest.mark.parametrize("bias", [True, False])
@torch.no_grad()
def test_linear_equals_integer_arithmetic_by_hand(bias: bool) -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(20, 7, bias=bias))
    twin = model[0].weight.detach().clone()
    data = torch.randn(64, 20)
    approximate_(model, {"0": "drum8s_k4"}, [data])
    layer = model[0]
    assert isinstance(layer, ApproxLinear)
    scale, weight_scales = float(layer.activation_scale), twin.abs().amax(1) / 127
    a = np.clip(np.rint((data / scale).numpy()), -128, 127).astype(np.int8)
    w = np.clip(np.rint((twin / weight_scales[:, None]).numpy()), -127, 127).astype(np.int8).T
    sums = cell("drum8s_k4").table.astype(np.int64)[a.view(np.uint8)[:, :, None], w.view(np.uint8)[None]].sum(1)
    total = sums + layer.bias_codes().numpy()
    np.testing.assert_array_equal(layer.accumulate(torch.from_numpy(a)), total)
    np.testing.assert_array_equal(layer(data), (total.astype(np.float32) * (scale * weight_scales).numpy()))


@torch.no_grad()
def test_a_grid_of_cells_equals_the_array() -> None:
    grid = CellMix((
        (cell("exact8s"), cell("drum8s_k3"), cell("truncated8s_k6_c1")),
        (cell("truncated8s_k8"), cell("exact8s"), cell("exact8s")),
    ))  # fmt: skip
    config = ArrayConfig(2, 3, grid)
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(11, 8))
    approximate_(model, {"default": config}, [torch.randn(50, 11)])
    layer = model[0]
    codes = torch.randint(-128, 128, (9, 11), dtype=torch.int8)
    wanted = array.matmul(config, codes.numpy(), layer.weight_codes.numpy()) + layer.bias_codes().numpy()
    np.testing.assert_array_equal(layer.accumulate(codes), wanted)


@torch.no_grad()
def test_a_column_list_repeats_over_output_channels() -> None:
    model = nn.Sequential(nn.Linear(6, 10))
    approximate_(model, {"0": ["exact8s", "exact8s", "truncated8s_k9"]}, [torch.randn(40, 6)])
    codes = torch.randint(-128, 128, (30, 6), dtype=torch.int8)
    sums = model[0].accumulate(codes) - model[0].bias_codes()
    exact = codes.int() @ model[0].weight_codes.int()
    differs = (sums != exact).any(0)
    assert differs.tolist() == [False, False, True] * 3 + [False]


@torch.no_grad()
def test_compensation_takes_out_the_mean_error() -> None:
    torch.manual_seed(4)
    model = nn.Sequential(nn.Linear(64, 12))
    data = torch.randn(400, 64)
    approximate_(model, {"default": "truncated8s_k8"}, [data])
    layer = model[0]
    codes = layer.quantise_input(data)
    error = layer.accumulate(codes) - codes.int() @ layer.weight_codes.int()
    bias = (layer.bias / layer.product_scale()).round()
    mean = (error - bias).double().mean(0)
    raw = -layer.error_moments(layer.grid)[0]
    assert mean.abs().max() < 1.01 and np.abs(raw).min() > 1000


def test_predicted_variance_is_that_of_independent_operands() -> None:
    torch.manual_seed(5)
    model = nn.Sequential(nn.Linear(64, 4))
    data = torch.randn(4000, 64)
    approximate_(model, {"default": "truncated8s_k7"}, [data])
    layer = model[0]
    codes = layer.quantise_input(data)
    error = (layer.accumulate(codes) - codes.int() @ layer.weight_codes.int()).double()
    np.testing.assert_allclose(error.var(0), layer.error_moments(layer.grid)[1], rtol=0.15)


def test_predicted_damage_is_zero_for_exact_and_grows_with_truncation() -> None:
    model, _ = converted()
    for layer in table_layers(model).values():
        damage = [predicted_damage(layer, ((cell(n),),)) for n in ("exact8s", "truncated8s_k5", "truncated8s_k9")]
        assert damage[0] == 0 < damage[1] < damage[2]


@torch.no_grad()
def test_heads_have_cells_of_their_own() -> None:
    model, _ = converted()
    exact = {}
    model.attention.qk.recorder = lambda path, layer, a, w, total: exact.update(codes=a, stationary=w)
    model(images())
    model.attention.qk.recorder = None
    codes, stationary = exact["codes"], exact["stationary"]
    assign_(model, {"attention.qk": PerHead(("exact8s", "truncated8s_k7"))})
    layer = model.attention.qk
    sums = layer.accumulate(codes, stationary) - layer.bias_code(codes.shape[-1])
    first, second = layer.bias_code(codes.shape[-1]).flatten()
    assert first == 0 != second
    for head, name in enumerate(("exact8s", "truncated8s_k7")):
        wanted = approx_matmul(codes[:, head], stationary[:, head], cell(name))
        assert torch.equal(sums[:, head], wanted)
    assert describe(layer.grid) == "exact8s / truncated8s_k7 by head"
    recording = record(model, images(3))["attention.qk"]
    assert recording.bias.shape[0] == recording.requant.multiplier.shape[0] == 2
    assert (recording.accumulators[3] - recording.bias_of(3) == approx_matmul(
        torch.from_numpy(recording.activations[3]), torch.from_numpy(recording.stationary[3]), cell("truncated8s_k7")
    ).numpy()).all()  # fmt: skip
    both = predicted_damage(layer, layer.grid)
    assert 0 < both < predicted_damage(layer, ((cell("truncated8s_k7"),),))


def test_a_layer_that_is_not_calibrated_computes_nothing() -> None:
    with pytest.raises(UserError, match="is not calibrated"):
        ApproxLinear.take_over_(nn.Linear(3, 3))(torch.randn(2, 3))


@pytest.mark.parametrize(
    "bits", [{"activation_bits": 3}, {"activation_bits": 9}, {"weight_bits": 1}, {"weight_bits": 9}]
)
def test_bits_out_of_range_are_refused(bits: dict) -> None:
    with pytest.raises(UserError, match="must be from [42] to 8"):
        QuantConfig(**bits)
