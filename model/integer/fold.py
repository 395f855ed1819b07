"""Float rewriting before quantisation: what is affine by channel goes into the layer before it."""

from collections.abc import Mapping

import torch
from timm.layers import LayerScale
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from slipstick.errors import UserError

from ..vit_parts import blocks, normalised_convolutions

BRANCHES = (("ls1", "attn.proj"), ("ls2", "mlp.fc2"))  # of a block: the layer scale, and the layer before it


def fold_(model: VisionTransformer) -> None:
    """Fold batch normalisations into their convolutions and layer scales into projections, in place.

    The function stays the same in evaluation; folded modules become ``nn.Identity``.
    """
    fold_batch_norms_(model)
    for block in blocks(model):
        for name, path in BRANCHES:
            scale = getattr(block, name)
            if isinstance(scale, LayerScale):
                layer = block.get_submodule(path)
                with torch.no_grad():
                    layer.weight.mul_(scale.gamma[:, None])
                    if layer.bias is not None:
                        layer.bias.mul_(scale.gamma)
                setattr(block, name, nn.Identity())


def fold_batch_norms_(model: nn.Module) -> None:
    """Fold every batch normalisation that directly follows a convolution in a Sequential."""
    for parent, _, place, convolution, norm in list(normalised_convolutions(model)):
        training = norm.training
        folded = fuse_conv_bn_eval(convolution.eval(), norm.eval())
        folded.requires_grad_(convolution.weight.requires_grad)  # torch forgets it for a new bias
        parent[place], parent[place + 1] = folded.train(training), nn.Identity()


def unfold(state: Mapping[str, Tensor], original: VisionTransformer) -> dict[str, Tensor]:
    """A state that ``original``, not folded, loads: folding it gives ``state``, up to float rounding.

    Statistics and gains of the original stay; weights and biases take up the difference. Raises UserError
    where a gain is zero.
    """
    result = {name: state.get(name, value).clone() for name, value in original.state_dict().items()}
    for _, path, place, convolution, norm in normalised_convolutions(original):
        assert norm.running_mean is not None and norm.running_var is not None
        gain = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        own = torch.zeros_like(gain) if convolution.bias is None else convolution.bias
        weight, bias = state[f"{path}.{place}.weight"], state[f"{path}.{place}.bias"]
        result[f"{path}.{place}.weight"] = weight / _gain(gain, path).view(-1, 1, 1, 1)
        result[f"{path}.{place + 1}.bias"] = bias - (own - norm.running_mean) * gain
        if convolution.bias is not None:
            result[f"{path}.{place}.bias"] = own.clone()
    for number, block in enumerate(blocks(original)):
        for name, layer in BRANCHES:
            scale, path = getattr(block, name), f"blocks.{number}.{layer}"
            if isinstance(scale, LayerScale):
                gain = _gain(scale.gamma, path)
                result[f"{path}.weight"] = state[f"{path}.weight"] / gain[:, None]
                if f"{path}.bias" in result:
                    result[f"{path}.bias"] = state[f"{path}.bias"] / gain
    return {name: value.detach().contiguous() for name, value in result.items()}


def _gain(gain: Tensor, path: str) -> Tensor:
    if (gain == 0).any():
        raise UserError(f"{path}: a gain of zero hides the weights before it; they cannot be written back")
    return gain
