"""Small Vision Transformers for tests: random weights, everything that the integer form folds or embeds."""

import copy

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from slipstick.model.convert import approximate_
from slipstick.model.integer.audit import float_operations
from slipstick.model.kernels.ops import available
from slipstick.model.vit import build_vit


def stem_vit() -> VisionTransformer:
    """The shipped architecture, small, with batch norms that are not the identity."""
    torch.manual_seed(0)
    model = build_vit(dim=32, depth=2, heads=2).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for part in (module.running_mean, module.running_var, module.weight, module.bias):
                nn.init.uniform_(part, 0.5, 1.5)
    return model


def token_vit(**options: object) -> VisionTransformer:
    """Class token, patches, layer scale, SiLU."""
    torch.manual_seed(1)
    model = VisionTransformer(
        img_size=16, patch_size=4, embed_dim=24, num_heads=3, num_classes=5,
        **{"depth": 2, "init_values": 0.5, "act_layer": nn.SiLU} | options,
    )  # fmt: skip
    nn.init.normal_(model.cls_token, std=0.5)
    return model.eval()


def converted(model: VisionTransformer) -> VisionTransformer:
    """The model itself, integer-only from here on."""
    approximate_(model, {}, [images(32, 16)], integer=True)
    return model


def check_integer_form(original: VisionTransformer) -> None:
    """Its integer form gives nearly the same logits, with gradients the same as without, and sees no float."""
    model, fresh = converted(copy.deepcopy(original)), images(16, 16, seed=1)
    with torch.no_grad():
        wanted, found = original(fresh), model(fresh)
        codes = model(model.image_codes(fresh))
    assert torch.corrcoef(torch.stack([wanted.flatten(), found.flatten()]))[0, 1] > 0.99
    assert torch.equal(codes.float() * model.logit_scale, found)
    assert torch.equal(model(fresh).detach(), found)  # with gradients
    if available(torch.device("cpu")):  # products of cells are in float without a compiler
        assert float_operations(model, model.image_codes(fresh[:2])) == []


def images(count: int, size: int, seed: int = 0) -> Tensor:
    """Random float images [N, 3, size, size]."""
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))
