"""What in-memory computing costs in accuracy: the encoders' products on noisy crossbars, in the forward pass only."""

from dataclasses import dataclass, field

import torch
from timm.layers.attention import Attention
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from slipstick.errors import UserError

from .blocks import SourceAttention
from .crossbar import CrossbarConfig, CrossbarLinear, CrossbarMatmul, CrossbarProduct, crossbar_attention


@dataclass(frozen=True)
class NoiseConfig:
    """``static`` crossbars hold weights, ``dynamic`` ones K^T and V.

    By default those of the paper's hybrid: 2-bit FeFET cells with 10 % and 20 %, 1-bit SRAM cells without variation.
    """

    static: CrossbarConfig = field(default_factory=CrossbarConfig)
    dynamic: CrossbarConfig = field(default_factory=lambda: CrossbarConfig(read=0, write=0, cell_bits=1))
    seed: int = 0


class CrossbarAttention(nn.Module):
    """Attention of timm, or one whose result is reused, with both products on crossbars."""

    def __init__(self, attention: Attention | SourceAttention, config: CrossbarConfig, seed: int) -> None:
        super().__init__()
        self.shares = isinstance(attention, SourceAttention)
        self.num_heads, self.head_dim, self.scale = attention.num_heads, attention.head_dim, attention.scale
        self.qkv, self.q_norm, self.k_norm = attention.qkv, attention.q_norm, attention.k_norm
        self.proj = attention.proj
        self.qk, self.av = CrossbarMatmul(config, seed), CrossbarMatmul(config, seed + 1)

    def forward(
        self, tokens: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Tokens [B, T, D] -> [B, T, D], and the heads side by side if they are reused. UserError for a mask."""
        if attn_mask is not None or is_causal:
            raise UserError("attention on crossbars has no masks")
        batch, count, _ = tokens.shape
        heads = self.qkv(tokens).reshape(batch, count, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)
        query, key, value = heads.unbind(0)
        mixed = crossbar_attention(self.q_norm(query), self.k_norm(key), value, self.scale, self.qk, self.av)
        attention = mixed.transpose(1, 2).flatten(2)
        result = self.proj(attention)
        return (result, attention) if self.shares else result


def put_on_crossbars_(model: nn.Module, images: Tensor, config: NoiseConfig | None = None) -> list[str]:
    """Put all products of the encoders of a float model on crossbars, in place, for inference.

    ``images`` [B, ...] set the full scale of the ADCs. Returns the layers' names. Same seed, same calls: same
    results. Raises UserError for a model that is no timm VisionTransformer or has another attention.
    """
    config = config or NoiseConfig()
    if not isinstance(model, VisionTransformer):
        raise UserError(f"crossbars know timm's VisionTransformer, not {type(model).__name__}")
    for name, module in model.blocks.named_modules():
        if name.endswith(".attn") and isinstance(module, Attention) and (
            type(module).forward is not Attention.forward or module.gate is not None
            or not isinstance(module.norm, nn.Identity)
        ):  # fmt: skip
            raise UserError(f"blocks.{name} is not timm's plain Attention; crossbars have no form for it")
    model.eval()
    names, seed = [], config.seed * 1_000_003
    for parent_name, parent in list(model.blocks.named_modules()):
        for name, child in list(parent.named_children()):
            seed += 2
            if isinstance(child, nn.Linear):
                setattr(parent, name, CrossbarLinear(child, config.static, seed))
                names.append(f"blocks.{parent_name}.{name}")
    for parent in list(model.blocks.modules()):
        for name, child in list(parent.named_children()):
            seed += 2
            if isinstance(child, Attention | SourceAttention):
                setattr(parent, name, CrossbarAttention(child, config.dynamic, seed))
    products = [module for module in model.modules() if isinstance(module, CrossbarProduct)]
    for product in products:
        product.observing = True
    with torch.no_grad():
        model(images)
    for product in products:
        product.observing = False
    return names
