"""Small Vision Transformers and activations for tests."""

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from slipstick.model.vit import build_vit
from slipstick.model.weightless.mlp import WeightlessConfig

SMALL = WeightlessConfig(thresholds=3, luts=(48, 24), arity=4)


def small_vit() -> VisionTransformer:
    torch.manual_seed(0)
    return build_vit(dim=16, depth=3, heads=2, classes=4).eval()


def images(count: int, seed: int = 0) -> Tensor:
    """Random float images [N, 3, 32, 32]."""
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def activations(count: int = 600, features: int = 8, outputs: int = 6, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Inputs [M, features] and what a fixed function that is not linear makes of them, [M, outputs]."""
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(features, outputs, generator=torch.Generator().manual_seed(99))
    inputs = torch.randn(count, features, generator=generator)
    return inputs, (inputs @ weights).relu()
