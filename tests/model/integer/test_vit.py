"""Integer-only ViTs: whole numbers from image to logits, and training through these very numbers."""

import copy

import pytest
import torch
from torch import nn

from slipstick.errors import UserError
from slipstick.model.convert import approximate_, assign_, table_layers
from slipstick.model.integer.audit import float_operations
from slipstick.model.integer.config import IntegerConfig
from slipstick.model.integer.fold import fold_, unfold
from slipstick.model.integer.vit import IntegerVit
from slipstick.model.kernels.ops import available
from tests.model.integer.vits import check_integer_form, converted, images, stem_vit, token_vit
from tests.rounding import assert_same_model

MODELS = {"stem": (stem_vit, 32), "token": (token_vit, 16)}


@pytest.fixture(params=MODELS)
def vit(request):
    """An integer ViT and its float original."""
    build, size = MODELS[request.param]
    model = build()
    original = copy.deepcopy(model)
    approximate_(model, {}, [images(32, size)], integer=True)
    return model, original, size


def test_logits_are_near_those_of_the_float_model(vit):
    model, original, size = vit
    fresh = images(16, size, seed=1)
    with torch.no_grad():
        wanted, found = original(fresh), model(fresh)
    assert torch.corrcoef(torch.stack([wanted.flatten(), found.flatten()]))[0, 1] > 0.99


def test_int8_images_float_images_and_training_give_the_same_numbers(vit):
    model, _, size = vit
    fresh = images(4, size, seed=2)
    with torch.no_grad():
        codes = model(model.image_codes(fresh))
        values = model(fresh)
    assert codes.dtype == torch.int32
    assert torch.equal(codes.float() * model.logit_scale, values)
    assert torch.equal(model(fresh).detach(), values)


@pytest.mark.skipif(not available(torch.device("cpu")), reason="products of cells are in float without a compiler")
def test_no_operator_between_image_and_logits_sees_a_float(vit):
    model, _, size = vit
    codes = model.image_codes(images(2, size))
    assert float_operations(model, codes) == []
    norm = model.blocks[1].norm2
    integer = norm.forward
    norm.forward = lambda x, out: integer(x.map(lambda part: (part.double() * 1.0).int()), out)
    assert any(found.startswith("blocks.1") for found in float_operations(model, codes))


def test_every_parameter_has_a_finite_gradient(vit):
    model, _, size = vit
    model(images(4, size)).square().sum().backward()
    lacking = [n for n, p in model.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert lacking == []


def test_constants_follow_an_optimisers_step(vit):
    model, _, size = vit
    fresh = images(4, size)
    with torch.no_grad():
        before = model(fresh)
    model(fresh).square().mean().backward()
    torch.optim.SGD(model.parameters(), lr=0.05).step()
    with torch.no_grad():
        after = model(fresh)
    assert not torch.equal(before, after)
    assert torch.equal(model(fresh).detach(), after)


def test_training_lowers_the_loss(vit):
    model, _, size = vit
    fresh, labels = images(16, size), torch.arange(16) % 5
    optimiser = torch.optim.AdamW(model.parameters(), lr=4e-3)
    losses = []
    for _ in range(25):
        loss = nn.functional.cross_entropy(model(fresh), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_approximate_cells_run_inside_the_integer_model(vit):
    model, _, size = vit
    fresh = images(4, size)
    with torch.no_grad():
        exact = model(fresh)
        assign_(model, {"default": "truncated8s_k6"})
        rough = model(fresh)
    assert len(table_layers(model)) > 8
    assert not torch.equal(exact, rough)
    assert torch.equal(model(fresh).detach(), rough)


def test_folding_keeps_the_function():
    for build, size in MODELS.values():
        model = build()
        fresh = images(4, size)
        with torch.no_grad():
            original = copy.deepcopy(model)
            fold_(model)
            assert_same_model(model(fresh), original, fresh)
        assert not [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]


def test_unfolded_weights_fold_to_what_they_came_from():
    for build, size in MODELS.values():
        original, model = build(), build()
        fold_(model)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.01 * torch.randn_like(parameter))
            original.load_state_dict(unfold(model.state_dict(), original))
            fresh = images(4, size)
            assert_same_model(original(fresh), model, fresh)


def test_the_same_conversion_gives_the_same_numbers():
    found = []
    for _ in range(2):
        model = token_vit()
        approximate_(model, {}, [images(16, 16)], integer=IntegerConfig(entries=16))
        with torch.no_grad():
            found.append(model(images(4, 16)))
    assert torch.equal(*found)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"act_layer": nn.Mish}, "no piecewise linear form of Mish"),
        ({"qk_norm": True}, "norms inside attention"),
        ({"global_pool": "avgmax"}, "global_pool='avgmax'"),
        ({"qk_norm": True}, "norms inside attention"),
        ({"global_pool": "map"}, "attention pooling"),
        ({"pre_norm": True}, "a norm before the blocks"),
    ],
)
def test_models_without_an_integer_form_are_refused_untouched(options, what):
    model = token_vit(**options)
    state = copy.deepcopy(model.state_dict())
    with pytest.raises(UserError, match=what):
        approximate_(model, {}, [images(2, 16)], integer=True)
    assert not isinstance(model, IntegerVit)
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())


def test_other_models_and_kept_layers_are_refused():
    with pytest.raises(UserError, match="VisionTransformer, not Sequential"):
        approximate_(nn.Sequential(nn.Linear(4, 4)), {}, [torch.zeros(2, 4)], integer=True)
    with pytest.raises(UserError, match="drop one"):
        approximate_(token_vit(), {}, [images(2, 16)], integer=True, keep=["head"])
    with pytest.raises(UserError, match="integer entries 1: must be from 2 to 64"):
        IntegerConfig(entries=1)


@torch.no_grad()
def test_an_embedding_that_no_longer_fits_the_stream_is_refused_not_clamped() -> None:
    model = converted(token_vit())
    model.pos_embed[0, 1, 2] = 40000 * model.stream_scale
    with pytest.raises(UserError, match="leaves the int16 residual stream; convert the model anew"):
        model(images(2, 16))


def test_position_embeddings_larger_than_the_stream_they_join_still_fit() -> None:
    model = token_vit()
    with torch.no_grad():
        model.pos_embed[0, 1:] += 50
        model.patch_embed.proj.bias -= 50
    check_integer_form(model)
