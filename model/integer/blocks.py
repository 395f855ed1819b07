"""Encoders on codes: the plain one, one that hands its attention on, and one that reuses what it was handed."""

from typing import Any

from timm.models.vision_transformer import Block
from torch import nn

from ..reuse.blocks import ReuseBlock, SourceBlock
from .attention import IntegerAttention
from .codes import Codes
from .mlp import IntegerMlp, IntegerWeightlessMlp
from .norm import IntegerLayerNorm
from .products import Requantiser, add
from .transform import IntegerReuseAttention


class StreamBlock(nn.Module):
    """What all encoders do on the int16 residual stream; made from a calibrated one by changing its class."""

    norm1: Any  # modules of timm, on cells by now, which torch cannot type
    norm2: Any
    attn: Any
    mlp: Any
    to_stream: tuple[Requantiser, Requantiser]

    def finish(self, x: Codes, attended: Codes) -> Codes:
        """Stream codes [B, T, D] and the projection's accumulators [B, T, D] -> stream codes behind the MLP."""
        norm2, mlp = self.norm2, self.mlp
        assert isinstance(norm2, IntegerLayerNorm) and isinstance(mlp, IntegerMlp | IntegerWeightlessMlp)
        x = add(x, self.to_stream[0](attended, x.scale))
        return add(x, self.to_stream[1](mlp(norm2(x, mlp.input_scale)), x.scale))

    def own_attention(self, x: Codes) -> tuple[Codes, Codes]:
        """Stream codes [B, T, D] -> the projection's accumulators, and the int8 codes that it took, [B, T, D]."""
        norm1, attention = self.norm1, self.attn
        assert isinstance(norm1, IntegerLayerNorm) and isinstance(attention, IntegerAttention)
        return attention(norm1(x, attention.qkv.activation_scale))


class IntegerBlock(StreamBlock, Block):
    """A pre-norm encoder."""

    def forward(self, x: Codes) -> Codes:  # type: ignore[override]  # codes, not floats, from here on
        """Stream codes [B, T, D] -> stream codes [B, T, D]."""
        return self.finish(x, self.own_attention(x)[0])


class IntegerSourceBlock(StreamBlock, SourceBlock):
    """A whole encoder that hands the int8 codes of its attention on."""

    def forward(self, x: Codes, handed: Codes | None) -> tuple[Codes, Codes]:  # type: ignore[override]  # codes
        """Stream codes [B, T, D] -> stream codes, and codes [B, T, D] of its own projection's scale."""
        attended, joined = self.own_attention(x)
        return self.finish(x, attended), joined


class IntegerReuseBlock(StreamBlock, ReuseBlock):
    """An encoder whose attention comes from the one before it."""

    def forward(self, x: Codes, handed: Codes) -> tuple[Codes, Codes]:  # type: ignore[override]  # codes
        """Stream codes and attention codes [B, T, D] -> stream codes, and attention codes to hand on."""
        attention = self.attn
        assert isinstance(attention, IntegerReuseAttention)
        attended, transformed = attention(handed)
        return self.finish(x, attended), transformed if self.chain else handed


INTEGER_BLOCKS: dict[type[nn.Module], type[StreamBlock]] = {
    Block: IntegerBlock,
    SourceBlock: IntegerSourceBlock,
    ReuseBlock: IntegerReuseBlock,
}
