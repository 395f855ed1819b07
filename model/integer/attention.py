"""Attention on codes from projection to projection."""

import torch
from torch import Tensor, nn

from ..layers.attention import ApproxAttention
from .codes import Codes
from .products import Requantiser, accumulate, accumulate_pair
from .softmax import IntegerSoftmax


class IntegerAttention(ApproxAttention):
    """An attention on cells whose softmax is an integer operator too; made by ``take_over_``.

    ``forward`` takes int8 codes [B, T, D] of the QKV projection's scale.
    """

    softmax: IntegerSoftmax
    to_heads: Requantiser
    to_projection: Requantiser

    @classmethod
    def take_over_(cls, attention: nn.Module, softmax: IntegerSoftmax) -> None:
        """Turn a calibrated attention on cells, in place, into an integer one."""
        attention.__class__ = cls
        assert isinstance(attention, IntegerAttention)
        attention.softmax = softmax
        scales = (attention.qk.activation_scale, attention.qk.stationary_scale, attention.av.stationary_scale)
        attention.qkv.output_scale = torch.stack(scales).repeat_interleave(attention.num_heads * attention.head_dim)
        attention.av.output_scale = attention.proj.activation_scale.view(1)
        attention.to_heads = Requantiser(attention.qkv.low, attention.qkv.high)
        attention.to_projection = Requantiser(attention.proj.low, attention.proj.high)

    def forward(self, x: Codes) -> tuple[Codes, Codes]:  # type: ignore[override]  # codes, not floats, from here on
        """int8 codes [B, T, D] -> accumulators int32 [B, T, D] of the output projection, and the int8 codes it took."""
        qkv, proj, qk, av = self.qkv, self.proj, self.qk, self.av
        codes = self.to_heads(accumulate(qkv, x), qkv.output_scale)
        q, k, v = (
            Codes(part, scale, None if codes.values is None else values)
            for part, values, scale in zip(
                self._heads(codes.codes),
                self._heads(codes.codes if codes.values is None else codes.values),
                (qk.activation_scale, qk.stationary_scale, av.stationary_scale),
                strict=True,
            )
        )
        k, v = (Codes(layer.held(one.codes), one.scale, one.values) for layer, one in ((qk, k), (av, v)))
        logits = accumulate_pair(qk, q, k.map(_transposed))
        mixed = accumulate_pair(av, self.softmax(logits, av.activation_scale), v)
        joined = self.to_projection(mixed, proj.activation_scale).map(self._join)
        return accumulate(proj, joined), joined


def _transposed(part: Tensor) -> Tensor:
    return part.transpose(-2, -1)
