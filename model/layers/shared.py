"""Layers on multiplier cells whose parameters belong to another module, which used them without a layer."""

from typing import Any

from torch import Tensor

from .convolution import ApproxConv2d
from .linear import ApproxLinear
from .weights import WeightLayer


class _Shared(WeightLayer):
    """The parameters stay where they are, unregistered here, so the state dict keeps its names."""

    _owned: tuple[Tensor, Tensor | None]

    def take(self, weight: Tensor, bias: Tensor | None) -> None:
        """Keep the parameters out of this layer's own."""
        self._owned = (weight, bias)

    def sources(self) -> tuple[Tensor | None, ...]:
        """The other module's parameters."""
        return self._owned

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """The weight [N, ...] as it is now."""
        return self._owned[0]

    @property
    def bias(self) -> Tensor | None:  # type: ignore[override]
        """The bias [N] as it is now."""
        return self._owned[1]


class ApproxProjection(_Shared, ApproxLinear):
    """A Linear whose weight [N, K] and bias are (parts of) parameters that belong to another module.

    ``rows`` of the weight and ``bias_rows`` of the bias are taken; ``transposed`` says that the parameter is [K, N].
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None = None,
        rows: slice = slice(None),
        bias_rows: slice = slice(None),
        transposed: bool = False,
    ) -> None:
        super().__init__(weight, bias)
        self.rows, self.bias_rows, self.transposed = rows, bias_rows, transposed

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """The weight [N, K] as it is now."""
        weight = self._owned[0].T if self.transposed else self._owned[0]
        return weight[self.rows]

    @property
    def bias(self) -> Tensor | None:  # type: ignore[override]
        """The bias [N] as it is now."""
        return None if self._owned[1] is None else self._owned[1][self.bias_rows]


class SharedConv2d(_Shared, ApproxConv2d):
    """A convolution whose weight belongs to a module that calls ``F.conv2d`` itself, and adds the bias."""

    def __init__(self, weight: Tensor, stride: Any, padding: Any, dilation: Any, groups: int) -> None:
        super().__init__(weight, None, stride, padding, dilation, groups)
