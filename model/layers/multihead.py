"""``nn.MultiheadAttention`` with its projections and both of its products on multiplier cells."""

import torch
from torch import Tensor, nn

from .attention import attention_weights
from .mixin import change_class_
from .routing import Hidden
from .shared import ApproxProjection, Owned


class ApproxMultiheadAttention(Hidden):
    """Replaces ``nn.MultiheadAttention``: query, key and value are three layers, whose weights may be one parameter.

    Parameters keep their names. Same arguments and results as the module it replaces, masks included:
    true, or minus infinity, stands where attention is *not* allowed.
    """

    q: nn.Module
    k: nn.Module
    v: nn.Module

    embed_dim: int
    num_heads: int
    head_dim: int
    batch_first: bool
    dropout: float
    add_zero_attn: bool
    in_proj_bias: nn.Parameter | None
    bias_k: nn.Parameter | None
    bias_v: nn.Parameter | None
    qk: nn.Module
    av: nn.Module
    out_proj: nn.Module

    @classmethod
    def take_over_(cls, attention: nn.MultiheadAttention) -> None:
        """Turn an attention, in place, into one on cells, all but ``out_proj``."""
        changed = change_class_(attention, cls)
        bias = None if changed.in_proj_bias is None else Owned(changed, "in_proj_bias")
        for place, name in enumerate(("q", "k", "v")):
            rows = slice(place * changed.embed_dim, (place + 1) * changed.embed_dim)
            if attention._qkv_same_embed_dim:
                layer = ApproxProjection(Owned(changed, "in_proj_weight"), bias, rows, rows)
            else:
                layer = ApproxProjection(Owned(changed, f"{name}_proj_weight"), bias, bias_rows=rows)
            changed.add_module(name, layer.train(changed.training))

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend from query [B, L, E] to key [B, S, E] and value [B, S, E].

        Returns the output [B, L, E], and the weights [B, L, S] (or [B, H, L, S]) if they are needed.
        ``is_causal`` is only a hint about ``attn_mask``, as in torch.
        """
        single = query.ndim == 2
        if single:
            query, key, value = query[None], key[None], value[None]
            key_padding_mask = None if key_padding_mask is None else key_padding_mask[None]
        elif not self.batch_first:
            query, key, value = (x.transpose(0, 1) for x in (query, key, value))
        q, k, v = self.q(query), self.k(key), self.v(value)
        mask = self._mask(attn_mask, key_padding_mask, len(q))
        if self.bias_k is not None and self.bias_v is not None:
            k, v = self._more(k, self.bias_k), self._more(v, self.bias_v)
        q, k, v = (x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for x in (q, k, v))
        if self.add_zero_attn:
            k, v = (nn.functional.pad(x, (0, 0, 0, 1)) for x in (k, v))
        if mask is not None:
            mask = nn.functional.pad(mask, (0, k.shape[2] - mask.shape[-1]))
        weights = attention_weights(self.qk(q, k.mT), self.head_dim**-0.5, mask, False).to(query.dtype)
        weights = nn.functional.dropout(weights, self.dropout, self.training)
        output = self.out_proj(self.av(weights, v).transpose(1, 2).flatten(2))
        if average_attn_weights:
            weights = weights.mean(1)
        if single:
            output, weights = output[0], weights[0]
        elif not self.batch_first:
            output = output.transpose(0, 1)
        return output, weights if need_weights else None

    def _mask(self, attn_mask: Tensor | None, key_padding_mask: Tensor | None, batch: int) -> Tensor | None:
        """Both masks as one to be added: float, broadcast to [B, H, L, S]."""
        parts = []
        if attn_mask is not None:
            folded = attn_mask.ndim == 3  # [B * H, L, S]
            parts.append(attn_mask.unflatten(0, (batch, self.num_heads)) if folded else attn_mask[None, None])
        if key_padding_mask is not None:
            parts.append(key_padding_mask[:, None, None])
        added = None
        for part in parts:
            if part.dtype == torch.bool:
                part = torch.zeros(part.shape, device=part.device).masked_fill(part, float("-inf"))
            added = part if added is None else added + part
        return added

    @staticmethod
    def _more(tokens: Tensor, bias: Tensor) -> Tensor:
        return torch.cat([tokens, bias.expand(len(tokens), -1, -1)], 1)
