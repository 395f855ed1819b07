"""LayerNorm from the int16 residual stream to int8 codes."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slipstick.rtl.spec.layernorm import LayerNormSpec
from slipstick.rtl.spec.pwl import PwlTable

from ..layers.derived import Derived
from .codes import TORCH, Codes, straight_through
from .products import clamp_values


class IntegerLayerNorm(nn.LayerNorm):
    """``nn.LayerNorm`` on codes: ``rtl.spec.layernorm`` with the module's own weight and bias.

    The module keeps its parameters and their names. Its result has the scale ``out`` of its consumer.
    """

    @classmethod
    def take_over_(cls, norm: nn.LayerNorm, root: PwlTable) -> None:
        """Turn a LayerNorm, in place, into one with the reciprocal square root ``root``."""
        norm.__class__ = cls
        assert isinstance(norm, IntegerLayerNorm)
        norm.root = root
        norm.derived = {}

    root: PwlTable
    derived: dict[int, Derived[tuple[LayerNormSpec, Tensor, Tensor]]]  # by consumer

    def spec(self, scale: Tensor, out: Tensor, consumer: int = 0) -> tuple[LayerNormSpec, Tensor, Tensor]:
        """The integer constants for an input and an output scale, and gain and bias int64 [D] as tensors."""
        made = self.derived.setdefault(consumer, Derived())
        return made(lambda: self._make(scale, out), scale, out, self.weight, self.bias)

    def _make(self, scale: Tensor, out: Tensor) -> tuple[LayerNormSpec, Tensor, Tensor]:
        dim, device = self.normalized_shape[-1], scale.device
        weight = torch.ones(dim) if self.weight is None else self.weight.detach().cpu()
        bias = torch.zeros(dim) if self.bias is None else self.bias.detach().cpu()
        spec = LayerNormSpec.from_float(
            weight.double().numpy(), bias.double().numpy(), self.eps, float(scale), float(out), self.root
        )
        return spec, torch.from_numpy(spec.gain).to(device), torch.from_numpy(spec.bias).to(device)

    def forward(self, x: Codes, out: Tensor, consumer: int = 0) -> Codes:  # type: ignore[override]  # codes
        """Stream codes [..., D] -> int8 codes [..., D] of scale ``out``, that of one of several consumers."""
        spec, gain, bias = self.spec(x.scale, out, consumer)
        codes = spec(x.codes.long(), TORCH, gain, bias).to(torch.int8)
        if x.values is None:
            return Codes(codes, out)
        values = F.layer_norm(x.values, self.normalized_shape, self.weight, self.bias, self.eps)
        return straight_through(clamp_values(values, out, spec.low, spec.high), codes, out)
