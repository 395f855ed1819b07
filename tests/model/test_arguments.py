"""``--model-args``: what timm is asked for is what is built, and what it does not know is named."""

import pytest
import torch
from safetensors.torch import save_file

from slipstick.errors import UserError
from slipstick.model.arguments import read_arguments
from slipstick.model.zoo import load_model

TINY = "vit_tiny_patch16_224"


@pytest.mark.parametrize("text", [
    "img_size=32,patch_size=8,depth=2,num_classes=7,class_token=false,global_pool=avg",
    "img_size=32 patch_size=8 depth=2  num_classes=7 class_token=False, global_pool=avg",
    '{"img_size": 32, "patch_size": 8, "depth": 2, "num_classes": 7, "class_token": false, "global_pool": "avg"}',
])  # fmt: skip
def test_both_forms_build_the_same_model(text: str) -> None:
    loaded = load_model(TINY, None, text)
    assert loaded.size == 32 and loaded.example().shape == (1, 3, 32, 32) and loaded.classes().outputs == 7
    assert len(loaded.module.blocks) == 2 and loaded.module.patch_embed.num_patches == 16
    assert loaded.module.cls_token is None and loaded.module.global_pool == "avg"


def test_a_model_of_one_channel_sees_grey() -> None:
    loaded = load_model(TINY, None, "img_size=32,in_chans=1,depth=1")
    assert loaded.example().shape == (1, 1, 32, 32) and loaded.module(loaded.example()).shape == (1, 1000)


def test_weights_are_of_the_model_that_the_arguments_make(tmp_path) -> None:
    own = load_model(TINY, None, "img_size=32,depth=1,num_classes=5")
    save_file(own.module.state_dict(), tmp_path / "w.safetensors")
    again = load_model(TINY, tmp_path / "w.safetensors", "img_size=32,depth=1")
    with torch.no_grad():
        assert torch.equal(again.module(again.example()), own.module(own.example()))
    with pytest.raises(UserError, match="does not fit VisionTransformer"):
        load_model(TINY, tmp_path / "w.safetensors", "img_size=32,depth=2")


@pytest.mark.parametrize(("text", "message"), [
    ("img_size", "'img_size' is not key=value; give for example"), ("img_size=", "'img_size=' is not key=value"),
    ("{'img_size': 3}", "not JSON"), ("depth=1,depth=2", "depth stands there twice"),
    ("checkpoint_path=x.pth", "checkpoint_path is not to be chosen here; weights come with --weights"),
    ("pretrained=true", "pretrained is not to be chosen here"),
    ("dept=2", "unknown argument of vit_tiny_patch16_224 in --model-args 'dept'; near names: depth"),
    ("embed_dim=193", "cannot be built with --model-args"), ("img_size=cat", "cannot be built|one number"),
    ("img_size=0", "."), ("depth=-1,num_heads=0", "cannot be built"),
    ('{"img_size": [32, 64]}', "images are square"), ("in_chans=5", "in_chans=5: images have 3 channels"),
])  # fmt: skip
def test_what_no_model_can_be_built_from_is_one_line(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as found:
        load_model(TINY, None, text)
    assert "\n" not in str(found.value)


def test_arguments_that_a_model_swallows_are_named() -> None:
    with pytest.raises(UserError, match="unknown argument of swin_tiny_patch4_window7_224 in --model-args 'nonsense'"):
        load_model("swin_tiny_patch4_window7_224", None, "nonsense=1")
    with pytest.raises(UserError, match="vit-cifar10 is fixed"):
        load_model("vit-cifar10", None, "depth=2")
    assert read_arguments(None) == read_arguments(" ") == {}
