"""timm's ``Attention`` with both of its products, QK^T and AV, on multiplier cells."""

from typing import Any

import torch
import torch.nn.functional as F
from timm.layers.attention import Attention
from torch import Tensor, nn

from .mixin import change_class_
from .routing import Hidden, is_hooked
from .table_layer import TableLayer


def attention_weights(logits: Tensor, scale: float, mask: Tensor | None, causal: bool) -> Tensor:
    """Softmax of ``scale * logits`` [..., L, S] as ``F.scaled_dot_product_attention`` has it.

    ``mask`` is true where attention is allowed, or is added; a row with nothing allowed gives zeros.
    """
    logits = logits * scale
    if causal:
        allowed = torch.ones(logits.shape[-2:], dtype=torch.bool, device=logits.device).tril()
        logits = logits.masked_fill(~allowed, float("-inf"))
    if mask is None:
        return logits.softmax(dim=-1)
    logits = logits.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else logits + mask
    nothing = (logits == float("-inf")).all(-1, keepdim=True)
    return logits.softmax(dim=-1).masked_fill(nothing, 0)


class ApproxAttention(Hidden):
    """Replaces ``timm.layers.Attention``; ``fused_attn`` would hide both products inside one kernel.

    Where nothing stands between the projection and the products (no norms, no gate), the int8 codes
    that the requantisers of ``qkv`` and ``av`` give are the very operands of the next product.
    """

    fused_attn: bool
    num_heads: int
    head_dim: int
    attn_dim: int
    scale: float
    qkv: Any
    proj: Any
    gate: Any
    qk: Any
    av: Any
    q_norm: Any
    k_norm: Any
    norm: Any
    attn_drop: Any
    proj_drop: Any

    @classmethod
    def put_on_cells_(cls, attention: Attention, shared: bool = False) -> None:
        """Turn an attention whose projections are on cells already, or kept in float, in place, into one on cells.

        ``shared``: other modules use its projections too, which then cannot speak the scales of this one alone.
        """
        changed = change_class_(attention, cls)
        layers = (changed.qkv, changed.qk, changed.av, changed.proj)
        between = (attention.q_norm, attention.k_norm, attention.norm)
        changed.integer_operands = (
            not shared
            and changed.gate is None
            and all(isinstance(layer, TableLayer) for layer in layers)
            and all(isinstance(module, nn.Identity) for module in between)
        )
        for layer in (changed.qkv, changed.av) if changed.integer_operands else ():
            layer.chained = True

    integer_operands: bool  # codes go from product to product without a float in between

    def calibrated(self) -> None:
        """Let the requantisers of qkv and av speak the scales of their consumers; call after the layers."""
        if self.integer_operands:
            scales = (self.qk.activation_scale, self.qk.stationary_scale, self.av.stationary_scale)
            self.qkv.output_scale = torch.stack(scales).repeat_interleave(self.attn_dim)
            self.av.output_scale = self.proj.activation_scale.view(1)
            for layer in (self.qkv, self.av):  # their outputs have the ranges of the next operands
                layer.ranges = tuple(one for one in layer.ranges if one.operand != "output")

    def _heads(self, values: Tensor) -> tuple[Tensor, ...]:
        batch, tokens, _ = values.shape
        return values.reshape(batch, tokens, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """Tokens [B, T, D] -> [B, T, D]; same arguments as the module it replaces."""
        inside = (self.qkv, self.qk, self.av, self.proj)
        if self.integer_operands and not (
            self.qkv.observing or torch.is_grad_enabled() or any(is_hooked(layer) for layer in inside)
        ):
            return self.proj_drop(self._integer(x, attn_mask, is_causal))
        own = x.dtype
        if self.integer_operands and not self.qkv.observing:
            x = x.float()
        gate = None if self.gate is None else self.gate(x).sigmoid()
        q, k, v = self._heads(self.qkv(x))
        q, k = self.q_norm(q), self.k_norm(k)
        probabilities = self._weights(self.qk(q, k.transpose(-2, -1)), attn_mask, is_causal).to(v.dtype)
        mixed = self.norm(self._join(self.av(probabilities, v)))
        return self.proj_drop(self.proj(mixed if gate is None else mixed * gate)).to(own)

    def _weights(self, logits: Tensor, attn_mask: Tensor | None, is_causal: bool) -> Tensor:
        # is_causal makes timm ignore a mask
        weights = attention_weights(logits, self.scale, None if is_causal else attn_mask, is_causal)
        if self.fused_attn:  # which does not call the module
            return F.dropout(weights, self.attn_drop.p, self.training)
        return self.attn_drop(weights)

    def _join(self, heads: Tensor) -> Tensor:
        return heads.transpose(1, 2).flatten(2)

    def _integer(self, x: Tensor, attn_mask: Tensor | None, is_causal: bool) -> Tensor:
        """The numbers of ``forward``, bit for bit, by way of codes alone.

        Otherwise a code times a float32 scale, divided by that scale, rounds to the code again.
        """
        q, k, v = self._heads(self.qkv.output_codes(self.qkv.accumulate(self.qkv.quantise_input(x.float()))))
        k, v = self.qk.held(k), self.av.held(v)
        logits = self.qk.accumulate(q, k.transpose(-2, -1)).float() * self.qk.product_scale()
        probabilities = self.av.quantise_input(self._weights(logits, attn_mask, is_causal))
        mixed = self._join(self.av.output_codes(self.av.accumulate(probabilities, v)))
        return (self.proj.accumulate(mixed).float() * self.proj.product_scale()).to(x.dtype)
