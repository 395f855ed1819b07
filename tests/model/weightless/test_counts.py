"""What a replacement saves, against figures known for DeiT-Tiny and counted by hand."""

import pytest
import timm
import torch

from slipstick.errors import UserError
from slipstick.model.weightless.counts import count
from slipstick.model.weightless.mlp import WeightlessConfig
from slipstick.model.weightless.replace import weightless_
from tests.model.weightless.vits import SMALL, images, small_vit


def test_all_mlps_of_deit_tiny_are_the_known_share():
    model = timm.create_model("deit_tiny_patch16_224", num_classes=10)
    found = count(model, range(12), WeightlessConfig(luts=(768,)), torch.zeros(1, 3, 224, 224))
    assert found.macs == pytest.approx(1253.5e6, rel=1e-3) and found.mlp_macs == pytest.approx(697.2e6, rel=1e-3)
    assert found.mlp_macs / found.macs == pytest.approx(0.556, abs=5e-4)
    assert found.mlp_weights / found.weights == pytest.approx(0.64, abs=0.01)
    assert "55.6%" in str(found)
    # entries are half as many as the MLP's weights; additions per token are those of papers.md, all bits at 1
    assert found.entry_bits * 2 == found.mlp_weights * 8 and found.additions == 12 * 197 * 768 * 192


def test_counts_of_a_small_model_by_hand():
    model = small_vit()
    found = count(model, [0, 2], SMALL, images(1))
    mlp = 2 * 16 * 32
    assert found.mlp_weights == 2 * mlp and found.mlp_macs == 64 * 2 * mlp
    assert found.additions == 64 * 2 * 24 * 16 and found.comparisons == 64 * 2 * 16 * 3
    assert found.entry_bits == 2 * 24 * 16 * 8 and found.table_bits == 2 * (48 + 24) * 16
    assert found.threshold_bits == 2 * 16 * 3 * 8
    assert found.net_bits == 16 * mlp - found.stored_bits
    assert not model.blocks[0].mlp._forward_pre_hooks and not model.training


def test_mlps_that_are_weightless_already_are_not_counted():
    model, example = small_vit(), images(1)
    whole = count(model, [0, 1], SMALL, example)
    weightless_(model, [2], SMALL, [images(4)])
    rest = count(model, [0, 1], SMALL, example)
    assert rest.macs == whole.macs - whole.mlp_macs // 2 and rest.weights == whole.weights - whole.mlp_weights // 2


def test_blocks_that_do_not_exist_are_refused():
    with pytest.raises(UserError, match="block 5 does not exist"):
        count(small_vit(), [5], SMALL, images(1))
