"""Weightless MLPs in integer-only ViTs: their contract between the codes of LayerNorm and of the residual stream."""

import copy

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from slipstick.errors import UserError
from slipstick.model.integer.codes import Codes
from slipstick.model.integer.mlp import IntegerWeightlessMlp
from slipstick.model.reuse.convert import reuse_
from slipstick.model.weightless.export import to_spec
from slipstick.model.weightless.match import MatchConfig
from slipstick.model.weightless.mlp import WeightlessConfig
from slipstick.model.weightless.replace import weightless_
from tests.model.integer.vits import check_integer_form, converted, images, token_vit

WEIGHTLESS = 1
CONFIG = WeightlessConfig(thresholds=4, luts=(192,))


def weightless_vit(config: WeightlessConfig = CONFIG, **options: object) -> VisionTransformer:
    """A float ViT without layer scales; block 1 has a weightless MLP, and reuses attention too with ``reuse``."""
    reuse = options.pop("reuse", False)
    model = token_vit(init_values=None, **options)
    for parameter in model.blocks.parameters():  # branches that count beside the stream
        nn.init.normal_(parameter, std=0.2)
    if reuse:
        reuse_(model, [WEIGHTLESS])
    weightless_(model, [WEIGHTLESS], config, [images(32, 16)], MatchConfig(steps=5, tokens=256))
    return model


@pytest.mark.parametrize("reuse", [False, True])
@pytest.mark.parametrize("mapping", ["random", "learnable"])
def test_logits_are_near_those_of_the_float_model_and_made_of_whole_numbers(reuse: bool, mapping: str) -> None:
    check_integer_form(weightless_vit(WeightlessConfig(thresholds=4, luts=(192,), mapping=mapping), reuse=reuse))


def test_the_mlp_takes_the_norms_codes_and_gives_the_contracts_accumulators() -> None:
    model = converted(weightless_vit())
    mlp, seen = model.blocks[WEIGHTLESS].mlp, []
    assert isinstance(mlp, IntegerWeightlessMlp)
    mlp.register_forward_hook(lambda _, inputs, result: seen.append((inputs[0], result)))
    with torch.no_grad():
        model(images(3, 16))
    ((taken, given),) = seen
    assert taken.codes.dtype == torch.int8 and torch.equal(taken.scale, mlp.thermometer.scale)
    binary = copy.deepcopy(mlp)
    binary.binarise_()
    spec = to_spec(binary)
    assert given.codes.dtype == torch.int32 and (given.codes.numpy() == spec(taken.codes.long().numpy())).all()
    assert float(given.scale) == pytest.approx(spec.output_scale, rel=1e-6)


def test_tables_thresholds_and_entries_have_gradients_and_a_step_is_followed() -> None:
    model, fresh = converted(weightless_vit()), images(4, 16)
    model(fresh).square().mean().backward()
    lacking = [n for n, p in model.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert lacking == []
    mlp = model.blocks[WEIGHTLESS].mlp
    codes = Codes(torch.randint(-128, 128, (2, 7, 24), dtype=torch.int8), mlp.input_scale)
    with torch.no_grad():
        before = mlp(codes).codes
    torch.optim.SGD([mlp.sum.entries], lr=0.5).step()
    with torch.no_grad():
        after = mlp(codes).codes
    values = Codes(codes.codes, codes.scale, codes.codes.float() * codes.scale)
    assert not torch.equal(before, after) and torch.equal(mlp(values).codes, after)


def test_a_layer_scale_behind_a_weightless_mlp_is_refused() -> None:
    model = token_vit()
    weightless_(model, [WEIGHTLESS], CONFIG, [images(32, 16)], None)
    with pytest.raises(UserError, match="no form for a layer scale behind a weightless MLP"):
        converted(model)
