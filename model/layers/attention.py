"""timm's ``Attention`` with both of its products, QK^T and AV, on multiplier cells."""

import torch
from timm.layers.attention import Attention
from torch import Tensor, nn

from .linear import ApproxLinear
from .matmul import ApproxMatmul
from .quantise import QuantConfig
from .routing import Hidden
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

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.num_heads, self.head_dim, self.scale = attention.num_heads, attention.head_dim, attention.scale
        self.attn_dim = attention.attn_dim
        self.qkv, self.proj = ApproxLinear.from_float(attention.qkv), ApproxLinear.from_float(attention.proj)
        self.gate = None if attention.gate is None else ApproxLinear.from_float(attention.gate)
        self.q_norm, self.k_norm, self.norm = attention.q_norm, attention.k_norm, attention.norm
        self.attn_drop, self.proj_drop = attention.attn_drop, attention.proj_drop
        self.qk, self.av = ApproxMatmul(), ApproxMatmul()

    @property
    def integer_operands(self) -> bool:
        """Whether codes go from product to product without a float in between."""
        between = (self.q_norm, self.k_norm, self.norm)
        on_cells = all(isinstance(layer, TableLayer) for layer in (self.qkv, self.qk, self.av, self.proj))
        return on_cells and self.gate is None and all(isinstance(module, nn.Identity) for module in between)

    def calibrated(self, config: QuantConfig) -> None:
        """Let the requantisers of qkv and av speak the scales of their consumers; call after the layers."""
        if self.integer_operands:
            scales = (self.qk.activation_scale, self.qk.stationary_scale, self.av.stationary_scale)
            self.qkv.output_scale = torch.stack(scales).repeat_interleave(self.attn_dim)
            self.av.output_scale = self.proj.activation_scale.view(1)

    def _heads(self, values: Tensor) -> tuple[Tensor, ...]:
        batch, tokens, _ = values.shape
        return values.reshape(batch, tokens, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """Tokens [B, T, D] -> [B, T, D]; same arguments as the module it replaces."""
        if self.integer_operands and not self.qkv.observing:
            run = self._differentiable if torch.is_grad_enabled() else self._integer
            return self.proj_drop(run(x, attn_mask, is_causal))
        gate = None if self.gate is None else self.gate(x).sigmoid()
        q, k, v = self._heads(self.qkv(x))
        q, k = self.q_norm(q), self.k_norm(k)
        probabilities = self._weights(self.qk(q, k.transpose(-2, -1)), attn_mask, is_causal)
        mixed = self.norm(self._join(self.av(probabilities, v)))
        return self.proj_drop(self.proj(mixed if gate is None else mixed * gate))

    def _weights(self, logits: Tensor, attn_mask: Tensor | None, is_causal: bool) -> Tensor:
        # is_causal makes timm ignore a mask
        return self.attn_drop(attention_weights(logits, self.scale, None if is_causal else attn_mask, is_causal))

    def _join(self, heads: Tensor) -> Tensor:
        return heads.transpose(1, 2).flatten(2)

    def _integer(self, x: Tensor, attn_mask: Tensor | None, is_causal: bool) -> Tensor:
        q, k, v = self._heads(self.qkv.output_codes(self.qkv.accumulate(self.qkv.quantise_input(x))))
        logits = self.qk.accumulate(q, k.transpose(-2, -1)).float() * self.qk.product_scale()
        probabilities = self.av.quantise_input(self._weights(logits, attn_mask, is_causal))
        mixed = self._join(self.av.output_codes(self.av.accumulate(probabilities, v)))
        return self.proj.accumulate(mixed).float() * self.proj.product_scale()

    def _differentiable(self, x: Tensor, attn_mask: Tensor | None, is_causal: bool) -> Tensor:
        """The numbers of ``_integer``, bit for bit: floats that are whole multiples of the consumers' scales.

        A code times a float32 scale, divided by that scale, rounds to the code again.
        """
        q, k, v = self._heads(self.qkv.requantised(x))
        probabilities = self._weights(self.qk(q, k.transpose(-2, -1)), attn_mask, is_causal)
        return self.proj(self._join(self.av.requantised(probabilities, v)))
