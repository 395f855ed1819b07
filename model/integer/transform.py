"""The transformation block of attention reuse on codes, and the projection behind it."""

from torch import Tensor, nn

from ..layers.derived import Derived
from ..layers.linear import ApproxLinear
from ..reuse.blocks import ReuseAttention, TransformationBlock
from .activation import PwlActivation
from .codes import Codes
from .norm import IntegerLayerNorm
from .products import Requantiser, accumulate

WIDER = 8  # bits: LayerNorm rounds the mean to a code, too coarse for int8


class IntegerTransformation(TransformationBlock):
    """``GELU(Linear(LayerNorm(A)))`` on codes, or what the float block has of it; made by ``take_over_``."""

    wide: Derived[Tensor]
    to_projection: Requantiser

    @classmethod
    def take_over_(cls, block: TransformationBlock, projection: ApproxLinear) -> None:
        """Turn a calibrated block whose norm and GELU are integer operators already, in place, into an integer one."""
        block.__class__ = cls
        assert isinstance(block, IntegerTransformation)
        block.wide, block.to_projection = Derived(), Requantiser(projection.low, projection.high)

    def widened(self, attention: Codes) -> Codes:
        """int8 codes [..., D] as the int16 codes, of a finer scale, that LayerNorm takes."""
        scale = self.wide(lambda: attention.scale * 2.0**-WIDER, attention.scale)
        return Codes(attention.codes.int() << WIDER, scale, attention.values)

    def forward(self, attention: Codes, out: Tensor) -> Codes:  # type: ignore[override]  # codes, not floats
        """int8 codes [B, T, D] -> int8 codes [B, T, D] of scale ``out``."""
        norm, linear, act = self.norm, self.linear, self.act
        if isinstance(norm, nn.Identity):
            return self.to_projection(attention, out)
        assert isinstance(norm, IntegerLayerNorm) and isinstance(linear, ApproxLinear)
        products = accumulate(linear, norm(self.widened(attention), linear.activation_scale))
        return act(products, out) if isinstance(act, PwlActivation) else self.to_projection(products, out)


class IntegerReuseAttention(ReuseAttention):
    """A projection on cells behind an integer transformation block; made by ``take_over_``."""

    @classmethod
    def take_over_(cls, attention: ReuseAttention) -> None:
        """Turn a calibrated one, in place, into an integer one."""
        attention.__class__ = cls
        projection = attention.proj
        assert isinstance(projection, ApproxLinear)
        IntegerTransformation.take_over_(attention.transform, projection)

    def forward(self, attention: Codes) -> tuple[Codes, Codes]:  # type: ignore[override]  # codes, not floats
        """int8 codes [B, T, D] -> accumulators of the projection, and the int8 codes that it took, [B, T, D]."""
        projection = self.proj
        assert isinstance(projection, ApproxLinear)
        transformed = self.transform(attention, projection.activation_scale)
        return accumulate(projection, transformed), transformed
