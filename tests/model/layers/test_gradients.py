"""Gradients on cells: the numbers of the integer path forward, the stated slopes backward, int8 kept between."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.layers.attention import Attention
from torch import nn

from slipstick.errors import UserError
from slipstick.model.convert import approximate_, assign_, table_layers
from slipstick.model.layers.config import QuantConfig
from slipstick.model.layers.gradients import activation_gradient, set_gradient_, stationary_gradient
from slipstick.model.layers.heads import HeadGrids
from slipstick.model.layers.matmul import ApproxMatmul
from slipstick.model.layers.quantise import weight_scale
from slipstick.model.layers.slopes import KINDS, GradientConfig, slope_table
from slipstick.rtl.cells import cell
from tests.model.layers.test_slopes import CELLS
from tests.rounding import assert_same_function, assert_within, product_error

pytestmark = pytest.mark.usefixtures("one_thread")

HARSH = "truncated8s_k9"


class Small(nn.Module):
    """Every kind of layer once, with a normalisation before the products as in a transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.norm = nn.LayerNorm(16)
        self.attention = Attention(16, num_heads=2, qkv_bias=True)
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        tokens = self.stem(x).flatten(2).transpose(1, 2)
        return self.head((tokens + self.attention(self.norm(tokens))).mean(1))


def images(count: int = 12) -> torch.Tensor:
    return torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def small(rules=None, gradient: GradientConfig | None = None) -> nn.Module:
    torch.manual_seed(0)
    model = Small().eval()
    approximate_(model, rules or {}, [images(40)])
    set_gradient_(model, gradient or GradientConfig())
    return model


def fake_quantised(layer, values: torch.Tensor, clip: bool) -> torch.Tensor:
    """Torch's own fake quantisation, whose gradient is that of a clipped quantiser."""
    scale = float(layer.activation_scale)
    inside = torch.fake_quantize_per_tensor_affine(values, scale, 0, -128, 127)
    if clip:
        return inside
    return values + (inside - values).detach()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reach", [1.0, 3.0], ids=["within", "beyond"])
def test_exact_linear_has_the_gradients_of_a_fake_quantised_one(kind: str, reach: float) -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(20, 7))
    approximate_(model, {}, [torch.randn(200, 20)])
    set_gradient_(model, GradientConfig(kind))
    layer = model[0]
    data = (reach * torch.randn(3, 11, 20)).requires_grad_()
    twin = data.detach().clone().requires_grad_()
    up = torch.randn(3, 11, 7)
    out = model(data)
    out.backward(up)
    weight = layer.weight.detach().clone().requires_grad_()
    held = torch.fake_quantize_per_channel_affine(weight, weight_scale(weight), torch.zeros(7), 0, -127, 127)
    bias = layer.bias.detach().clone().requires_grad_()
    wanted = nn.functional.linear(fake_quantised(layer, twin, clip=kind == "clipped"), held, bias)
    wanted.backward(up)
    assert (out - wanted).abs().max() <= float(layer.product_scale().max())  # the bias is rounded to a whole unit
    rows, inputs = up.flatten(0, 1).T, twin.detach().flatten(0, 1)
    errors = product_error(up, held), product_error(rows, inputs), product_error(rows, torch.ones(33))
    for mine, reference, error in zip((data, layer.weight, layer.bias), (twin, weight, bias), errors, strict=True):
        assert_within(mine.grad, reference.grad, error)


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_exact_convolution_has_the_gradients_of_a_fake_quantised_one(kind: str, groups: int) -> None:
    torch.manual_seed(2)
    geometry = {"stride": 2, "padding": 1, "groups": groups}
    model = nn.Sequential(nn.Conv2d(3, 6, 3, **geometry))
    approximate_(model, {}, [torch.randn(40, 3, 9, 9)])
    set_gradient_(model, GradientConfig(kind))
    layer = model[0]
    data = torch.randn(4, 3, 9, 9).clamp(-2, 2).requires_grad_()
    twin, weight = (part.detach().clone().requires_grad_() for part in (data, layer.weight))
    held = torch.fake_quantize_per_channel_affine(weight, weight_scale(weight), torch.zeros(6), 0, -127, 127)
    inside = fake_quantised(layer, twin, clip=False)
    wanted = nn.functional.conv2d(inside, held, layer.bias.detach(), **geometry)
    up = torch.randn_like(wanted)
    model(data).backward(up)
    wanted.backward(up)
    exact = [part.detach().double().requires_grad_() for part in (inside, held)]
    nn.functional.conv2d(*exact, **geometry).backward(up.double())
    assert_same_function(data.grad, twin.grad, exact[0].grad)
    assert_same_function(layer.weight.grad, weight.grad, exact[1].grad)


def matmul_layer(name: str, gradient: GradientConfig, *operands: torch.Tensor) -> ApproxMatmul:
    layer = ApproxMatmul()
    layer.observing = True
    layer.set_cells(((cell(name),),))
    layer(*operands)
    layer.calibrated(QuantConfig("minmax"))
    layer.gradient = gradient
    return layer


@pytest.mark.parametrize("kind", ["straight_through", "clipped"])
def test_both_operands_of_a_matmul_get_gradients_and_none_where_clamped(kind: str) -> None:
    torch.manual_seed(3)
    a, b = torch.randn(2, 3, 5, 8), torch.randn(2, 3, 8, 4)
    layer = matmul_layer("exact8s", GradientConfig(kind), a / 2, b / 2)  # half of the range: large values clamp
    up = torch.randn(2, 3, 5, 4)
    a, b = a.requires_grad_(), b.requires_grad_()
    layer(a, b).backward(up)
    scales = float(layer.activation_scale), float(layer.stationary_scale)
    twins = [part.detach().clone().requires_grad_() for part in (a, b)]
    inside = [torch.fake_quantize_per_tensor_affine(t, s, 0, -128, 127) for t, s in zip(twins, scales, strict=True)]
    if kind != "clipped":
        inside = [t + (i - t).detach() for t, i in zip(twins, inside, strict=True)]
    (inside[0] @ inside[1]).backward(up)
    errors = product_error(up, inside[1].mT), product_error(inside[0].mT, up)
    for mine, twin, scale, error in zip((a, b), twins, scales, errors, strict=True):
        assert_within(mine.grad, twin.grad, error)
        beyond = torch.round(mine / scale) > 127
        assert beyond.any() and bool((mine.grad[beyond] == 0).all()) == (kind == "clipped")


@pytest.mark.parametrize("kind", KINDS)
def test_heads_on_different_cells_have_the_gradients_of_each_alone(kind: str) -> None:
    generator = torch.Generator().manual_seed(0)
    a, w = (
        torch.randint(-128, 128, shape, dtype=torch.int8, generator=generator) for shape in ((2, 3, 5, 6), (2, 3, 6, 4))
    )
    up, scale, config = torch.randn(2, 3, 5, 4, generator=generator), torch.rand(1), GradientConfig(kind)
    grids = tuple(((cell(name),),) for name in (HARSH, "mitchell8s"))
    by_values = activation_gradient(up, a, w, scale, HeadGrids(grids), config)
    by_stationary = stationary_gradient(up, a, w, HeadGrids(grids), config)
    for head in range(3):
        own = up[:, head], a[:, head], w[:, head]
        grid = grids[head % 2]
        torch.testing.assert_close(by_values[:, head], activation_gradient(*own, scale, grid, config))
        torch.testing.assert_close(by_stationary[:, head], stationary_gradient(*own, grid, config))


@given(
    cells=st.lists(st.sampled_from(CELLS), min_size=4, max_size=4),
    shape=st.sampled_from([((6,), ()), ((2, 3), ()), ((2, 3), (2,)), ((2, 2, 3), (2, 2)), ((2, 2, 3), (1, 2))]),
    half_window=st.integers(0, 12),
    seed=st.integers(0, 2**20),
)
@settings(max_examples=40)
def test_table_differences_sum_the_slopes_of_every_operand_pair(cells, shape, half_window, seed) -> None:
    generator = torch.Generator().manual_seed(seed)
    depth, channels = 5, 7
    a = torch.randint(-128, 128, (*shape[0], depth), dtype=torch.int8, generator=generator)
    w = torch.randint(-128, 128, (*shape[1], depth, channels), dtype=torch.int8, generator=generator)
    up = torch.randn(*shape[0], channels, generator=generator)
    scale = torch.rand(channels, generator=generator) if w.ndim == 2 else torch.rand(1, generator=generator)
    grid = (tuple(map(cell, cells[:2])), tuple(map(cell, cells[2:])))
    config = GradientConfig("table_difference", half_window, tolerance=0, max_rank=256)
    bits_a, bits_w = a.view(torch.uint8).long()[..., None], w.view(torch.uint8).long()[..., None, :, :]
    slopes = {"activation": torch.zeros(()), "stationary": torch.zeros(())}
    for operand in slopes:
        every = torch.stack(
            [
                torch.stack([torch.from_numpy(slope_table(one, operand, half_window))[bits_a, bits_w] for one in row])
                for row in grid
            ]
        )  # [R, C, ..., M, K, N]
        k, n = torch.arange(depth)[:, None], torch.arange(channels)
        slopes[operand] = every.movedim((0, 1), (-2, -1))[..., k, n, k % 2, n % 2].float()
    wanted = (slopes["activation"] * (up * scale)[..., None, :]).sum(-1)
    mine = activation_gradient(up, a, w, scale, grid, config)
    torch.testing.assert_close(mine, wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max()) + 1e-6)
    if w.ndim > 2 or a.ndim == 2:
        wanted = (slopes["stationary"] * up[..., None, :]).sum(-3)
        mine = stationary_gradient(up, a, w, grid, config)
        torch.testing.assert_close(mine, wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max()) + 1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_only_int8_codes_and_scales_are_kept_for_the_backward_pass(kind: str) -> None:
    torch.manual_seed(4)
    model = nn.Sequential(nn.Linear(64, 96))
    data = torch.randn(300, 64).requires_grad_()
    approximate_(model, {"default": HARSH}, [data.detach()])
    set_gradient_(model, GradientConfig(kind))
    kept: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        model(data).sum().backward()
    large = [tensor for tensor in kept if tensor.numel() > 96]
    assert {tensor.dtype for tensor in large} == {torch.int8}
    small_bytes = 4 * (1 + 96) + (8 * 64 if kind == "clipped" else 0)  # scales; places of at most 64 clamped values
    assert sum(tensor.nbytes for tensor in kept) <= 300 * 64 + 64 * 96 + small_bytes
    assert data.grad is not None and bool(data.grad.any())


@pytest.mark.parametrize("kind", KINDS)
def test_evaluation_after_training_gives_what_the_training_forward_computed(kind: str) -> None:
    model = small({"default": HARSH, "attention.proj": ["exact8s", "drum8s_k3"]}, GradientConfig(kind))
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    first = model.train()(images())
    for _ in range(3):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(images()), torch.arange(12) % 5).backward()
        optimiser.step()
    trained = model(images())
    assert trained.requires_grad and not torch.equal(trained, first)
    with torch.no_grad():
        assert torch.equal(model.eval()(images()), trained)
        twin = small({"default": HARSH, "attention.proj": ["exact8s", "drum8s_k3"]})
        twin.load_state_dict(model.state_dict())
        assert torch.equal(twin(images()), trained)


def test_offsets_stay_frozen_while_training_and_go_with_their_cells() -> None:
    model = small({"default": HARSH})
    layer = table_layers(model)["head"]
    before = layer.mean_error.clone()
    assert before.abs().min() > 100
    with torch.no_grad():
        layer.weight.copy_(layer.weight.roll(1, 0))
    assert torch.equal(model.state_dict()["head.mean_error"], before)
    assign_(model, {"default": HARSH})
    set_gradient_(model, GradientConfig())
    torch.testing.assert_close(layer.mean_error, before.roll(1, 0))


@pytest.mark.parametrize("options", [{}, {"foreach": True}, {"fused": True}])
def test_codes_follow_every_kind_of_optimiser_step(options: dict) -> None:
    model = small()
    layer = table_layers(model)["head"]
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.1, **options)
    before, bias = layer.weight_codes, layer.bias_codes()
    model(images()).square().sum().backward()
    optimiser.step()
    assert not torch.equal(layer.weight_codes, before) and not torch.equal(layer.bias_codes(), bias)
    scale = weight_scale(layer.weight.detach())
    assert torch.equal(layer.weight_codes, torch.round(layer.weight.detach() / scale[:, None]).T.to(torch.int8))


def test_checkpointed_gradients_are_the_same_bits() -> None:
    model = small({"default": HARSH}, GradientConfig("clipped"))
    twin = copy.deepcopy(model)
    model(images()).square().sum().backward()
    torch.utils.checkpoint.checkpoint(twin, images(), use_reentrant=False).square().sum().backward()
    for one, two in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(one.grad, two.grad)


def test_a_float_model_is_refused() -> None:
    with pytest.raises(UserError, match="convert it with approximate_ first"):
        set_gradient_(Small(), GradientConfig())


def test_a_model_that_was_evaluated_in_inference_mode_can_be_trained() -> None:
    model = small({"default": HARSH})
    set_gradient_(model, GradientConfig("clipped"))
    for layer in table_layers(model).values():
        layer.forget_prepared()
    with torch.inference_mode():
        wanted = model(images())
    out = model(images())
    out.sum().backward()
    assert torch.equal(out, wanted) and model.head.weight.grad is not None
