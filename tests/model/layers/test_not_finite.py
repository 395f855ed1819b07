"""NaN and Inf never become codes: the layer that they reach is named."""

import pytest
import torch
from timm.layers.attention import Attention
from torch import nn

from slipstick.errors import UserError
from slipstick.model.convert import approximate_
from slipstick.model.gemm import approx_matmul
from slipstick.model.layers import quantise
from slipstick.model.weightless.mlp import WeightlessConfig, WeightlessMlp
from slipstick.rtl.cells import cell
from tests.model.integer.vits import converted, images, token_vit

ODD = [float("nan"), float("inf"), float("-inf")]


class Product(nn.Module):
    """A product of two activations, either of which may be odd."""

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return left @ right


MODELS = {
    "linear": (lambda: nn.Sequential(nn.Linear(12, 4)), (12,), "layer '0': its input"),
    "convolution": (lambda: nn.Sequential(nn.Conv2d(2, 4, 3, padding=1)), (2, 6, 6), "layer '0': its input"),
    "attention": (lambda: nn.Sequential(Attention(8, 2)), (5, 8), "layer '0.qkv': its input"),
    "torch's attention": (lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (5, 8), "self_attn.q"),
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("kind", MODELS)
def test_an_odd_input_names_layer_and_example(kind, compiled, gradients, odd, monkeypatch) -> None:
    make, shape, message = MODELS[kind]
    torch.manual_seed(0)
    model = make().eval()
    data = torch.randn(6, *shape)
    approximate_(model, {}, [data])
    if not compiled:
        monkeypatch.setattr(quantise, "available", lambda device: False)
    bad = data.clone()
    bad[4].view(-1)[3] = odd
    with torch.set_grad_enabled(gradients):
        assert torch.isfinite(model(data)).all()
        with pytest.raises(UserError, match=f"{message}.* holds NaN or Inf, in 4 of 6 examples"):
            model(bad)


@pytest.mark.parametrize("side", [0, 1])
def test_either_operand_of_a_product_of_activations_is_looked_at(side: int) -> None:
    model, pair = Product(), [torch.randn(3, 4, 5), torch.randn(3, 5, 2)]
    approximate_(model, {}, [tuple(pair)])
    pair[side][1, 2, 1] = float("nan")
    with pytest.raises(UserError, match=r"layer 'matmul_0': its (input|second operand) holds NaN or Inf, in 1 of 3"):
        model(*pair)


def test_an_integer_model_refuses_an_odd_image() -> None:
    model = converted(token_vit())
    bad = images(4, 16)
    bad[2, 0, 1, 1] = float("nan")
    with pytest.raises(UserError, match=r"layer 'patch_embed.proj': its input holds NaN or Inf, in 2 of 4"):
        model(bad)


def test_a_weightless_mlp_refuses_odd_features() -> None:
    torch.manual_seed(0)
    got, gave = torch.randn(200, 6), torch.randn(200, 6)
    mlp = WeightlessMlp(WeightlessConfig(luts=(32,)), got, gave)
    got[3, 3] = float("inf")
    with pytest.raises(UserError, match="weightless MLP: its input holds NaN or Inf"):
        mlp(got)


def test_the_bare_product_takes_codes_alone() -> None:
    with pytest.raises(UserError, match=r"activations are torch.float32; cell 'exact8s' takes torch.int8"):
        approx_matmul(torch.full((2, 3), float("nan")), torch.zeros(3, 2, dtype=torch.int8), cell("exact8s"))
