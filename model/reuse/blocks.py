"""Encoders that hand their attention on, and encoders that make theirs from what they were handed.

The attention A that travels is the concatenation of the heads, before the projection. It goes from encoder to
encoder as an argument, not as hidden state: copies, several threads and nested calls stay correct.
"""

from abc import ABC, abstractmethod
from typing import Any

import torch.nn.functional as F
from timm.layers.attention import Attention
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from slipstick.errors import UserError

from .config import ReuseConfig, Transform

_NOT_GIVEN: Any = object()


class TransformationBlock(nn.Module):
    """``GELU(Linear_dxd(LayerNorm(A)))``, or less of it; the Linear starts as the identity."""

    def __init__(self, width: int, transform: Transform) -> None:
        super().__init__()
        self.norm = nn.Identity() if transform == "identity" else nn.LayerNorm(width, eps=1e-6)
        self.linear = nn.Identity() if transform == "identity" else nn.Linear(width, width)
        self.act = nn.GELU() if transform == "full" else nn.Identity()
        if isinstance(self.linear, nn.Linear):
            nn.init.eye_(self.linear.weight)
            nn.init.zeros_(self.linear.bias)

    def forward(self, attention: Tensor) -> Tensor:
        """Attention [B, T, D] -> [B, T, D]."""
        return self.act(self.linear(self.norm(attention)))


class SourceAttention(nn.Module):
    """timm's ``Attention`` that also returns its heads' concatenation, with the same parameters by name."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.num_heads, self.head_dim, self.scale = attention.num_heads, attention.head_dim, attention.scale
        self.qkv, self.q_norm, self.k_norm = attention.qkv, attention.q_norm, attention.k_norm
        self.attn_drop, self.proj, self.proj_drop = attention.attn_drop, attention.proj, attention.proj_drop

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens [B, T, D] -> result [B, T, D] and attention before the projection [B, T, H * head_dim]."""
        batch, count, _ = tokens.shape
        heads = self.qkv(tokens).reshape(batch, count, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)
        query, key, value = heads.unbind(0)
        dropout = self.attn_drop.p if self.training else 0.0
        mixed = F.scaled_dot_product_attention(
            self.q_norm(query), self.k_norm(key), value, dropout_p=dropout, scale=self.scale
        )
        attention = mixed.transpose(1, 2).flatten(2)
        return self.proj_drop(self.proj(attention)), attention


class ReuseAttention(nn.Module):
    """What is left of an attention that is not computed: its projection, behind a transformation block."""

    def __init__(self, attention: Attention, transform: Transform) -> None:
        super().__init__()
        self.transform = TransformationBlock(attention.attn_dim, transform)
        self.proj, self.proj_drop = attention.proj, attention.proj_drop

    def forward(self, attention: Tensor) -> tuple[Tensor, Tensor]:
        """Attention of the encoder before [B, T, D] -> result [B, T, D] and what this encoder made of it."""
        transformed = self.transform(attention)
        return self.proj_drop(self.proj(transformed)), transformed


class CarryingBlock(nn.Module, ABC):
    """An encoder that gets and returns (tokens, attention); made from a timm Block, whose parts it keeps."""

    attn: nn.Module

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.ls1, self.drop_path1 = block.ls1, block.drop_path1
        self.norm2, self.mlp = block.norm2, block.mlp
        self.ls2, self.drop_path2 = block.ls2, block.drop_path2

    def forward(
        self, tokens: Tensor, attention: Tensor | None = _NOT_GIVEN, **options: Any
    ) -> tuple[Tensor, Tensor | None]:
        """Tokens [B, T, D] and the attention handed on, or None -> both behind this encoder.

        Raises UserError when it is called alone, as gradient checkpointing and attention masks do.
        """
        if attention is _NOT_GIVEN or options:
            raise UserError(
                "encoders that share attention only run one after another: masks, gradient checkpointing and "
                "calls of single blocks have no attention to hand on"
            )
        change, handed = self.attend(tokens, attention)
        tokens = tokens + self.drop_path1(self.ls1(change))
        return tokens + self.drop_path2(self.ls2(self.mlp(self.norm2(tokens)))), handed

    @abstractmethod
    def attend(self, tokens: Tensor, attention: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """What attention adds to the tokens [B, T, D], and the attention to hand on."""


class SourceBlock(CarryingBlock):
    """A whole encoder whose attention the next one reuses."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        assert isinstance(block.attn, Attention)
        self.norm1, self.attn = block.norm1, SourceAttention(block.attn)

    def attend(self, tokens: Tensor, attention: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Own attention; what was handed on ends here."""
        return self.attn(self.norm1(tokens))


class ReuseBlock(CarryingBlock):
    """An encoder without queries, keys and values; its first norm has no consumer and is gone too."""

    def __init__(self, block: Block, config: ReuseConfig) -> None:
        super().__init__(block)
        assert isinstance(block.attn, Attention)
        self.attn, self.chain = ReuseAttention(block.attn, config.transform), config.run == "chain"

    def attend(self, tokens: Tensor, attention: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The attention of an encoder before, transformed; hands on that, or with ``chain`` the transformed one."""
        assert attention is not None
        change, transformed = self.attn(attention)
        return change, transformed if self.chain else attention


class ReuseBlocks(nn.Sequential):
    """All encoders of a model; ``reused`` are those without attention of their own, ``config`` how they reuse."""

    def __init__(self, blocks: list[nn.Module], reused: tuple[int, ...], config: ReuseConfig) -> None:
        super().__init__(*blocks)
        self.reused, self.config = reused, config

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens [B, T, D] -> [B, T, D]."""
        attention: Tensor | None = None
        for block in self:
            if isinstance(block, CarryingBlock):
                tokens, attention = block(tokens, attention)
            else:
                tokens, attention = block(tokens), None
        return tokens
