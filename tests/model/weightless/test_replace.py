"""Replacing MLPs in a ViT: the right ones, from the first to the last; export of the whole model."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from slipstick.errors import UserError
from slipstick.model.weightless.export import export, load_lutnets
from slipstick.model.weightless.match import MatchConfig
from slipstick.model.weightless.mlp import WeightlessMlp
from slipstick.model.weightless.replace import record, weightless_, weightless_mlps
from tests.model.weightless.vits import SMALL, images, small_vit
from tests.rounding import assert_same_model

pytestmark = pytest.mark.usefixtures("one_thread")


def test_only_the_named_blocks_change():
    model = small_vit()
    attention = [copy.deepcopy(block.attn.state_dict()) for block in model.blocks]
    kept = model.blocks[1].mlp
    weightless_(model, [0, 2], SMALL, [images(16)])
    assert list(weightless_mlps(model)) == ["blocks.0.mlp", "blocks.2.mlp"] and model.blocks[1].mlp is kept
    for block, before in zip(model.blocks, attention, strict=True):
        assert all(torch.equal(value, before[name]) for name, value in block.attn.state_dict().items())
    assert not model.training


def test_later_blocks_are_matched_on_what_earlier_replacements_give():
    inputs, seen = [images(8), images(8, 1)], []
    model = small_vit()
    weightless_(model, [2, 0], SMALL, inputs, report=lambda block, share: seen.append((block, share)))
    assert [block for block, _ in seen] == [0, 2] and all(0 < share < 1 for _, share in seen)
    one = small_vit()
    weightless_(one, [0], SMALL, inputs)
    got, gave = record(one, 2, inputs)
    alone = WeightlessMlp(SMALL, got, gave)
    assert torch.equal(alone.thermometer.thresholds, model.blocks[2].mlp.thermometer.thresholds)
    assert torch.equal(alone.sum.entries, model.blocks[2].mlp.sum.entries)


def test_what_is_recorded_is_what_the_mlp_gets_and_gives():
    model = small_vit()
    got, gave = record(model, 1, [images(2), images(1, 1)])
    assert got.shape == gave.shape == (3 * 64, 16)
    with torch.no_grad():
        assert_same_model(gave, model.blocks[1].mlp, got)
    assert not model.blocks[1].mlp._forward_hooks


def test_matched_models_are_nearer_to_the_original():
    original, inputs, fresh = small_vit(), [images(32)], images(16, 7)
    distances = []
    for match in (None, MatchConfig(40, 128)):
        model = copy.deepcopy(original)
        weightless_(model, [0, 1, 2], replace(SMALL, luts=(64,)), inputs, match)
        with torch.no_grad():
            features = [one.forward_features(fresh) for one in (model, original)]
        distances.append(float((features[0] - features[1]).square().mean()))
    assert distances[1] < distances[0]


def test_a_replaced_model_trains():
    model = small_vit()
    weightless_(model, [0, 1, 2], SMALL, [images(16)])
    model.train()
    inputs, labels = images(8, 3), torch.arange(8) % 4
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
    losses = []
    for _ in range(20):
        loss = nn.functional.cross_entropy(model(inputs), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert np.mean(losses[-3:]) < 0.8 * losses[0]


def test_an_export_gives_back_the_model(tmp_path: Path):
    model = small_vit()
    weightless_(model, [0, 2], SMALL, [images(16)], MatchConfig(5, 64))
    with pytest.raises(UserError, match=r"blocks\.0\.mlp: tables of layer 0 are not binary"):
        export(model, tmp_path / "net")
    assert not list(tmp_path.iterdir())
    for mlp in weightless_mlps(model).values():
        mlp.binarise_()
    export(model, tmp_path / "net")
    specs = load_lutnets(tmp_path / "net")
    assert list(specs) == ["blocks.0.mlp", "blocks.2.mlp"]
    for name, spec in specs.items():
        mlp = weightless_mlps(model)[name]
        codes = np.random.default_rng(0).integers(-128, 128, (50, 16))
        with torch.no_grad():
            wanted = mlp(torch.from_numpy(codes).float() * mlp.thermometer.scale)
        assert np.array_equal(np.float32(spec(codes)) * np.float32(spec.output_scale), wanted.numpy())


def test_files_that_are_no_export_are_refused(tmp_path: Path):
    with pytest.raises(UserError, match="not an export of weightless MLPs"):
        load_lutnets(tmp_path / "net")
    (tmp_path / "net.json").write_text("{}")
    (tmp_path / "net.safetensors").write_bytes(b"none")
    with pytest.raises(UserError, match="not an export of weightless MLPs"):
        load_lutnets(tmp_path / "net")
    with pytest.raises(UserError, match="no weightless MLP to export"):
        export(small_vit(), tmp_path / "other")


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([3], "block 3 does not exist; the model has blocks 0 to 2"),
        ([-1], "block -1 does not exist"),
        ([], "name at least one block"),
        ([1, 1], "none twice"),
    ],
)
def test_blocks_that_do_not_exist_are_refused(blocks, message):
    model = small_vit()
    with pytest.raises(UserError, match=message):
        weightless_(model, blocks, SMALL, [images(4)])
    assert not weightless_mlps(model)


def test_models_without_such_mlps_are_refused():
    with pytest.raises(UserError, match="not of Sequential"):
        weightless_(nn.Sequential(), [0], SMALL, [images(4)])
    model = small_vit()
    weightless_(model, [1], SMALL, [images(4)])
    with pytest.raises(UserError, match="block 1 has a WeightlessMlp in place of timm's Mlp"):
        weightless_(model, [1], SMALL, [images(4)])


def test_class_tokens_and_layer_scale_are_kept():
    torch.manual_seed(0)
    model = VisionTransformer(
        img_size=16, patch_size=8, embed_dim=16, depth=2, num_heads=2, num_classes=3, init_values=1e-1
    )
    weightless_(model.eval(), [1], SMALL, [torch.randn(40, 3, 16, 16)])
    assert model(torch.randn(2, 3, 16, 16)).shape == (2, 3)
