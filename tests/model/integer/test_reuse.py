"""Integer-only ViTs whose encoders reuse attention: whole numbers from encoder to encoder, and their training."""

from itertools import product
from typing import get_args

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from slipstick.model.convert import assign_
from slipstick.model.integer.codes import Codes
from slipstick.model.reuse.config import ReuseConfig, Run, Transform
from slipstick.model.reuse.convert import reuse_
from tests.model.integer.vits import check_integer_form, converted, images, token_vit

DEPTH, PATTERN, DIM = 4, (1, 2), 24


def reusing(transform: str = "full", run: str = "last") -> VisionTransformer:
    """A float ViT that reuses attention in a run of two encoders, with transformation blocks of random weights."""
    model = token_vit(depth=DEPTH)
    reuse_(model, PATTERN, ReuseConfig(transform, run))
    for parameter in (p for index in PATTERN for p in model.blocks[index].attn.transform.parameters()):
        nn.init.normal_(parameter, std=0.3)
    return model


@pytest.mark.parametrize(("transform", "run"), list(product(get_args(Transform), get_args(Run))))
def test_logits_are_near_those_of_the_float_model_whatever_is_reused(transform: str, run: str) -> None:
    check_integer_form(reusing(transform, run))


@pytest.mark.parametrize("run", ["last", "chain"])
def test_encoders_hand_int8_codes_on(run: str) -> None:
    model = converted(reusing(run=run))
    seen: list[tuple[Codes, Codes]] = []
    taken = [model.blocks[index].attn for index in (0, *PATTERN)]
    for attention in taken:
        attention.register_forward_hook(lambda _, inputs, result: seen.append((inputs[0], result[1])))
    with torch.no_grad():
        model(images(2, 16))
    (_, source), (first, made), (second, _) = seen
    assert source.codes.dtype == torch.int8 and first is source
    assert second is (made if run == "chain" else source)
    assert torch.equal(source.scale, taken[0].proj.activation_scale)


def test_the_norm_of_int8_attention_is_within_a_code_of_the_float_one() -> None:
    transform = converted(reusing()).blocks[1].attn.transform
    rng = np.random.default_rng(0)
    codes = torch.from_numpy(rng.integers(-9, 14, (64, DIM)).astype(np.int8))  # few codes: a rounded mean would tell
    attention, out = Codes(codes, torch.tensor(0.05)), torch.tensor(0.03)
    norm = transform.norm
    with torch.no_grad():
        found = norm(transform.widened(attention), out).codes
        wanted = nn.functional.layer_norm(0.05 * codes, (DIM,), norm.weight, norm.bias, norm.eps) / out
    assert (found - wanted.clamp(-128, 127)).abs().max() < 1


def test_every_parameter_of_a_reuse_network_has_a_finite_gradient_and_a_step_is_followed() -> None:
    model, fresh = converted(reusing(run="chain")), images(4, 16)
    model(fresh).square().mean().backward()
    lacking = [n for n, p in model.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert lacking == []
    with torch.no_grad():
        before = model(fresh)
    torch.optim.SGD(model.parameters(), lr=0.05).step()
    with torch.no_grad():
        after = model(fresh)
    assert not torch.equal(before, after) and torch.equal(model(fresh).detach(), after)


def test_approximate_cells_run_in_the_transformation_block() -> None:
    model, fresh = converted(reusing()), images(4, 16)
    with torch.no_grad():
        exact = model(fresh)
        assign_(model, {"blocks.1.attn.transform.linear": "truncated8s_k8"})
        assert not torch.equal(exact, model(fresh))
