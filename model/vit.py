"""The shipped architecture: a timm Vision Transformer for 32 x 32 images with a convolutional stem.

Early convolutions in place of a single patch projection: Xiao et al., "Early Convolutions Help
Transformers See Better", NeurIPS 2021.
"""

from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

MEAN = (0.4912, 0.4821, 0.4465)
STD = (0.2452, 0.2428, 0.2606)


class ConvStem(nn.Module):
    """Three 3 x 3 convolutions, two of stride 2, with the call signature of timm's PatchEmbed.

    Images [B, 3, 32, 32] become tokens [B, 64, embed_dim].
    """

    def __init__(
        self, img_size: int = 32, patch_size: int = 4, in_chans: int = 3, embed_dim: int = 128, **_: Any
    ) -> None:
        super().__init__()
        if patch_size != 4:
            raise ValueError(f"the stem reduces by 4, not {patch_size}")
        self.img_size, self.patch_size = (img_size, img_size), (4, 4)
        self.grid_size = (img_size // 4, img_size // 4)
        self.num_patches = self.grid_size[0] * self.grid_size[1]
        narrow, wide = embed_dim // 4, embed_dim // 2
        self.proj = nn.Sequential(
            nn.Conv2d(in_chans, narrow, 3, 1, 1, bias=False), nn.BatchNorm2d(narrow), nn.ReLU(),
            nn.Conv2d(narrow, wide, 3, 2, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU(),
            nn.Conv2d(wide, embed_dim, 3, 2, 1),
        )  # fmt: skip

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, 3, 32, 32] -> tokens [B, 64, embed_dim]."""
        return self.proj(images).flatten(2).transpose(1, 2)


def build_vit(
    dim: int = 128, depth: int = 6, heads: int = 4, mlp_ratio: float = 2, classes: int = 10
) -> VisionTransformer:
    """Build the network with random weights: 64 tokens, no class token, mean of tokens."""
    return VisionTransformer(
        img_size=32, patch_size=4, embed_dim=dim, depth=depth, num_heads=heads, mlp_ratio=mlp_ratio,
        num_classes=classes, class_token=False, global_pool="avg", embed_layer=ConvStem,
    )  # fmt: skip


def normalise(pixels: Tensor, mean: tuple[float, ...] = MEAN, std: tuple[float, ...] = STD) -> Tensor:
    """Turn uint8 pixels [N, H, W, 3] into the float images [N, 3, H, W] the network was trained on."""
    images = pixels.permute(0, 3, 1, 2).float().div_(255)
    return (images - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)
