"""Distillation of features: zero for the teacher itself, in units of its variance, and no part of what has none."""

import pytest
import torch
from torch import nn

from slipstick.errors import UserError
from slipstick.model.reuse.convert import reuse_
from slipstick.model.training.features import encoder_outputs, feature_loss
from slipstick.model.vit import build_vit


def tokens(model: nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    with encoder_outputs(model) as found:
        model(images)
    return found


def test_every_encoder_gives_its_tokens_in_order_and_hooks_are_gone_afterwards():
    model, images = build_vit(dim=16, depth=3, heads=2).eval(), torch.randn(2, 3, 32, 32)
    found = tokens(model, images)
    assert len(found) == 3
    assert torch.equal(found[-1], model.blocks(model.norm_pre(model._pos_embed(model.patch_embed(images)))))
    model(images)
    assert len(found) == 3


def test_encoders_that_hand_on_their_attention_give_their_tokens():
    model, images = build_vit(dim=16, depth=3, heads=2).eval(), torch.randn(2, 3, 32, 32)
    shape = tokens(model, images)[0].shape
    reuse_(model, [1])
    assert [one.shape for one in tokens(model, images)] == [shape] * 3


def test_the_loss_counts_in_variances_of_the_teacher():
    teacher = [torch.randn(4, 5, 6) * 10, torch.randn(4, 5, 6) * 0.1]
    assert feature_loss(teacher, teacher) == 0
    means = [one.mean((0, 1)).expand_as(one) for one in teacher]
    torch.testing.assert_close(feature_loss(means, teacher), torch.tensor(1.0))
    torch.testing.assert_close(feature_loss([means[0], teacher[1]], teacher), torch.tensor(0.5))


def test_models_without_float_encoders_are_refused():
    with pytest.raises(UserError, match="no encoders"), encoder_outputs(nn.Linear(2, 2)):
        pass
    with pytest.raises(UserError, match="integer-only"):
        feature_loss([torch.zeros(1, 2, 3, dtype=torch.int16)], [torch.zeros(1, 2, 3)])
