"""Products on crossbars: exact without noise and with a fine ADC, seeded, and as noisy as they are told to be."""

import pytest
import torch
from torch import Tensor, nn

from slipstick.errors import UserError
from slipstick.model.reuse.convert import reuse_
from slipstick.model.reuse.crossbar import CrossbarConfig, CrossbarLinear, CrossbarMatmul, CrossbarProduct, codes
from slipstick.model.reuse.noise import NoiseConfig, put_on_crossbars_
from slipstick.model.vit import build_vit
from tests.rounding import assert_within, product_error

FINE = CrossbarConfig(adc_bits=20, read=0, write=0)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def product(values: Tensor, weights: Tensor, config: CrossbarConfig, seed: int = 0) -> Tensor:
    layer = CrossbarProduct(config, seed)
    layer.observing = True
    return layer(values, *layer.program(weights))


@pytest.mark.parametrize("cell_bits", [1, 2, 3, 4])
@pytest.mark.parametrize("depth", [5, 64, 130])
def test_without_noise_it_is_the_int8_product(cell_bits: int, depth: int) -> None:
    values, weights = random(2, 7, depth), random(depth, 6, seed=1)
    (a, a_scale), (w, w_scale) = codes(values, (-2, -1)), codes(weights, (-2,))
    found = product(values, weights, CrossbarConfig(24, 0, 0, cell_bits))
    assert_within(found, (a.double() @ w.double()) * a_scale * w_scale, product_error(a * a_scale, w * w_scale))


def test_batched_weights_are_as_single_ones() -> None:
    values, weights = random(2, 3, 7, 20), random(2, 3, 20, 6, seed=1)
    layer = CrossbarMatmul(FINE, 0)
    layer.product.observing = True
    alone = product(values[1, 2], weights[1, 2], FINE)
    torch.testing.assert_close(layer(values, weights)[1, 2], alone, rtol=0, atol=1e-4)  # their ADCs saw other ranges


def test_a_coarser_adc_errs_more_and_saturates_beyond_what_it_saw() -> None:
    values, weights = random(50, 64), random(64, 32, seed=1)
    exact = product(values, weights, FINE)
    errors = [
        float((product(values, weights, CrossbarConfig(b, 0, 0)) - exact).square().mean()) for b in (8, 6, 4)
    ]  # fmt: skip
    assert 0 < errors[0] < errors[1] < errors[2]
    linear = CrossbarLinear(nn.Linear(64, 32), CrossbarConfig(6, 0, 0), 0)
    linear.product.observing = True
    linear(values)
    linear.product.observing = False
    before = linear.product.full_scale.clone()
    linear(torch.ones(50, 64))  # every input bit is set in every row
    assert torch.equal(linear.product.full_scale, before)


@pytest.mark.parametrize("kind", ["read", "write"])
def test_noise_has_the_deviation_that_was_asked_for(kind: str) -> None:
    """One row, one weight of 127 in 1-bit cells of level 1: every cell errs by the deviation of its conductance."""
    values, weights = torch.full((1, 1), 1.0), torch.full((1, 20_000), 1.0)
    errors = (
        product(values, weights, CrossbarConfig(**{"adc_bits": 24, "read": 0, "write": 0, "cell_bits": 1, kind: 0.05}))
        - 1
    )
    scale = 0.05 * (1 + 1 / 100**2) ** 0.5 / 0.99
    squares = sum(4.0**place for place in range(7))
    if kind == "write":  # the same error of a cell for all bits of an input
        wanted = scale * squares**0.5 / 127
    else:
        wanted = scale * squares**0.5 / 127 * squares**0.5 / 127  # 127 has seven bits, each read on its own
    assert float(errors.std()) == pytest.approx(wanted, rel=0.05)
    assert abs(float(errors.mean())) < 0.05 * wanted


def vit() -> nn.Module:
    torch.manual_seed(0)
    model = build_vit(dim=32, depth=4, heads=2).eval()
    reuse_(model, (2,))
    return model


def test_all_products_of_the_encoders_of_a_reuse_network_go_on_crossbars() -> None:
    images = random(3, 3, 32, 32)
    exact, ideal, noisy = vit(), vit(), vit()
    names = put_on_crossbars_(ideal, images, NoiseConfig(FINE, CrossbarConfig(20, 0, 0, 1)))
    assert "blocks.2.attn.transform.linear" in names and "blocks.1.attn.qkv" in names and len(names) == 4 * 4
    put_on_crossbars_(noisy, images)
    with torch.no_grad():
        wanted = exact(images)
        near, far = ((model(images) - wanted).square().mean() for model in (ideal, noisy))
    assert 0 < near < 1e-2 * wanted.var() and near < 0.2 * far


def test_the_same_seed_gives_the_same_noise() -> None:
    def logits(seed: int) -> Tensor:
        model = vit()
        put_on_crossbars_(model, random(2, 3, 32, 32), NoiseConfig(seed=seed))
        with torch.no_grad():
            return model(random(2, 3, 32, 32, seed=1))

    assert torch.equal(logits(0), logits(0)) and not torch.equal(logits(0), logits(1))


def test_what_has_no_form_on_crossbars_is_refused() -> None:
    with pytest.raises(UserError, match="crossbars know timm's VisionTransformer, not Sequential"):
        put_on_crossbars_(nn.Sequential(nn.Linear(2, 2)), torch.zeros(1, 2))
    for name, value in (("adc_bits", 1), ("read", 1.0), ("write", -0.1), ("cell_bits", 8)):
        with pytest.raises(UserError, match=f"crossbar {name} is"):
            CrossbarConfig(**{name: value})
