"""Integer forms of what ViTs differ in: activations, tokens, pooling, sizes, dropout; each against its float model."""

import copy

import pytest
import timm
import torch
from timm.layers import activations
from timm.models.deit import VisionTransformerDistilled
from torch import nn

from slipstick.errors import UserError
from slipstick.model.convert import approximate_
from slipstick.model.integer.tables import ACTIVATIONS, activation_function
from tests.model.integer.vits import check_integer_form, converted, images, token_vit


class TanhGelu(nn.GELU):
    def __init__(self) -> None:
        super().__init__(approximate="tanh")


@pytest.mark.parametrize("kind", [nn.GELU, TanhGelu, *ACTIVATIONS])
def test_activations_are_the_modules_own_function(kind: type[nn.Module]) -> None:
    inputs = torch.linspace(-9, 9, 1001, dtype=torch.float64)
    module = kind()
    function, gradient = activation_function(module)
    assert torch.allclose(torch.from_numpy(function(inputs.numpy())), module(inputs), atol=1e-12)
    assert torch.equal(gradient(inputs), module(inputs))


FORMS = {
    "ReLU": {"act_layer": nn.ReLU},
    "QuickGELU": {"act_layer": activations.QuickGELU},
    "GELU by tanh": {"act_layer": TanhGelu},
    "registers": {"reg_tokens": 3},
    "registers alone": {"reg_tokens": 2, "class_token": False, "global_pool": "avg"},
    "registers behind positions": {"reg_tokens": 2, "no_embed_class": True},
    "class token behind positions": {"no_embed_class": True},
    "mean of patches": {"global_pool": "avg"},
    "largest of patches": {"global_pool": "max"},
    "mean of all tokens": {"global_pool": "avg", "pool_include_prefix": True},
    "sizes as they come": {"dynamic_img_size": True},
    "no bias of qkv": {"qkv_bias": False},
    "dropout and stochastic depth": {"drop_path_rate": 0.4, "proj_drop_rate": 0.3, "attn_drop_rate": 0.2,
                                     "pos_drop_rate": 0.1, "drop_rate": 0.1, "patch_drop_rate": 0.2},
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_integer_forms_follow_the_float_model(form: str) -> None:
    options = dict(FORMS[form])
    if options.get("class_token") is False:
        torch.manual_seed(1)
        model = timm.models.vision_transformer.VisionTransformer(
            img_size=16, patch_size=4, embed_dim=24, num_heads=3, num_classes=5, depth=2, **options
        ).eval()
    else:
        model = token_vit(**options)
    if model.reg_token is not None:
        nn.init.normal_(model.reg_token, std=0.5)
    check_integer_form(model)


def test_a_distilled_model_has_both_its_heads() -> None:
    torch.manual_seed(0)
    model = VisionTransformerDistilled(
        img_size=16, patch_size=4, embed_dim=24, num_heads=3, num_classes=5, depth=2
    ).eval()
    for token in (model.cls_token, model.dist_token):
        nn.init.normal_(token, std=0.5)
    for head in (model.head, model.head_dist):
        nn.init.normal_(head.weight, std=0.2)
    check_integer_form(model)
    changed = converted(copy.deepcopy(model))
    fresh = images(4, 16)
    with torch.no_grad():
        before = changed(fresh)
        changed.head_dist.weight.mul_(-1)
        assert not torch.equal(changed(fresh), before)


@torch.no_grad()
def test_positions_follow_the_size_of_the_image() -> None:
    original = token_vit(dynamic_img_size=True)
    nn.init.normal_(original.pos_embed, std=0.5)
    model = converted(copy.deepcopy(original))
    for sides in ((16, 16), (24, 16), (32, 32), (16, 16)):
        fresh = torch.randn(16, 3, *sides, generator=torch.Generator().manual_seed(2))
        wanted, found = original(fresh), model(fresh)
        assert torch.corrcoef(torch.stack([wanted.flatten(), found.flatten()]))[0, 1] > 0.99
        with torch.enable_grad():
            assert torch.equal(model(fresh).detach(), found)
    fixed = converted(token_vit())
    with pytest.raises(UserError, match=r"the model takes images of \(16, 16\)"):
        fixed(images(2, 24))


@pytest.mark.parametrize(("change", "message"), [
    (lambda model: model.half(), "parameters other than float32"),
    (lambda model: torch.nn.utils.parametrizations.weight_norm(model.head), "parametrised weights"),
])  # fmt: skip
def test_what_has_no_integer_form_is_named(change, message: str) -> None:
    model = token_vit()
    change(model)
    with pytest.raises(UserError, match=message):
        approximate_(model, {}, images(4, 16), integer=True)
