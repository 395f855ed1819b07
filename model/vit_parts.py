"""Parts of timm's Vision Transformer, whose attributes torch cannot type."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from timm.models.vision_transformer import VisionTransformer
from torch import nn


def blocks(model: VisionTransformer) -> list[Any]:
    """The encoder blocks, with their attributes ``norm1``, ``attn``, ``ls1``, ``norm2``, ``mlp``, ``ls2``."""
    return list(model.blocks)


def activated(model: VisionTransformer) -> Iterator[tuple[str, Any]]:
    """Every module that has an activation function ``act``, with its name below ``blocks``."""
    for place, block in enumerate(blocks(model)):
        transform = getattr(block.attn, "transform", None)
        if transform is not None and not isinstance(transform.act, nn.Identity):
            yield f"{place}.attn.transform", transform
        if hasattr(block.mlp, "act"):  # a weightless MLP has none
            yield f"{place}.mlp", block.mlp


def stem(model: VisionTransformer) -> list[nn.Module]:
    """The layers of the patch embedding, in order."""
    proj: Any = model.patch_embed.proj
    return list(proj) if isinstance(proj, nn.Sequential) else [proj]


def normalised_convolutions(
    model: nn.Module,
) -> Iterator[tuple[nn.Sequential, str, int, nn.Conv2d, nn.BatchNorm2d]]:
    """Every convolution of a Sequential that a batch normalisation follows: the Sequential, its name, the place."""
    for path, parent in model.named_modules():
        if isinstance(parent, nn.Sequential):
            for place, (convolution, norm) in enumerate(pairwise(parent)):
                if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    yield parent, path, place, convolution, norm
