"""What a Vision Transformer's cost depends on, read off one forward pass of the float model."""

from dataclasses import dataclass

import torch
from timm.layers.attention import Attention
from torch import Tensor, nn

from slipstick.errors import UserError
from slipstick.model.reuse.convert import check_reusable
from slipstick.model.workload import LayerShape
from slipstick.model.zoo import LoadedModel


@dataclass(frozen=True)
class VitShape:
    """``tokens`` of width ``dim``; ``outside`` are the products outside the encoders: patches and classifier."""

    tokens: int
    dim: int
    encoders: int
    heads: int
    hidden: int
    outside: dict[str, LayerShape]


@torch.no_grad()
def vit_shape(loaded: LoadedModel) -> VitShape:
    """The shape of a float timm VisionTransformer before ``reuse_``.

    Raises UserError for another model, and for encoders that are not all alike.
    """
    vit = check_reusable(loaded.module)
    tokens: list[int] = []
    outside: dict[str, LayerShape] = {}
    inside = set(vit.blocks.modules())
    names = {module: name for name, module in vit.named_modules()}

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(module, nn.Linear):
            rows = inputs[0].numel() // module.in_features
            outside[names[module]] = LayerShape(rows, module.in_features, module.out_features, 1, "linear")
        elif isinstance(module, nn.Conv2d):
            depth, groups = module.weight[0].numel(), module.groups
            rows = output.shape[-2] * output.shape[-1]
            outside[names[module]] = LayerShape(rows, depth, module.out_channels // groups, groups, "conv2d")
        else:
            tokens.append(inputs[0].shape[1])

    hooks = [m.register_forward_hook(keep) for m in vit.modules() if isinstance(m, nn.Linear | nn.Conv2d)
             and m not in inside]  # fmt: skip
    hooks.append(vit.blocks[0].register_forward_hook(keep))
    try:
        vit.eval()(loaded.example())
    finally:
        for hook in hooks:
            hook.remove()
    shapes = set()
    for block in vit.blocks:
        attention, fc1 = block.get_submodule("attn"), getattr(block.get_submodule("mlp"), "fc1", None)
        if not isinstance(fc1, nn.Linear):
            raise UserError("an MLP without fc1, such as a weightless one, has no cost model on the array; "
                            "choose what reuses attention first, then replace MLPs")  # fmt: skip
        assert isinstance(attention, Attention)
        if attention.attn_dim != fc1.in_features:
            raise UserError(f"heads of {attention.attn_dim} in all on tokens of {fc1.in_features} have no cost model")
        shapes.add((fc1.in_features, attention.num_heads, fc1.out_features))
    if len(shapes) > 1:
        raise UserError(f"encoders of different shapes have no cost model: {sorted(shapes)}")
    dim, heads, hidden = shapes.pop()
    return VitShape(tokens[0], dim, len(vit.blocks), heads, hidden, outside)
