"""Float rewriting before quantisation: what is affine by channel goes into the layer before it."""

import torch
from timm.layers import LayerScale
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_(model: VisionTransformer) -> None:
    """Fold batch normalisations into their convolutions and layer scales into projections, in place.

    The function stays the same in evaluation; folded modules become ``nn.Identity``.
    """
    fold_batch_norms_(model)
    for block in model.blocks:
        for name, layer in (("ls1", block.attn.proj), ("ls2", block.mlp.fc2)):
            scale = getattr(block, name)
            if isinstance(scale, LayerScale):
                with torch.no_grad():
                    layer.weight.mul_(scale.gamma[:, None])
                    if layer.bias is not None:
                        layer.bias.mul_(scale.gamma)
                setattr(block, name, nn.Identity())


def fold_batch_norms_(model: nn.Module) -> None:
    """Fold every batch normalisation that directly follows a convolution in a Sequential."""
    for parent in model.modules():
        if not isinstance(parent, nn.Sequential):
            continue
        for place in range(len(parent) - 1):
            convolution, norm = parent[place], parent[place + 1]
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                training = norm.training
                folded = fuse_conv_bn_eval(convolution.eval(), norm.eval())
                folded.requires_grad_(convolution.weight.requires_grad)  # torch forgets it for a new bias
                parent[place], parent[place + 1] = folded.train(training), nn.Identity()
