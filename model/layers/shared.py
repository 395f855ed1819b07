"""Layers on multiplier cells whose parameters belong to another module, which used them without a layer."""

from typing import Any

from torch import Tensor, nn
from torch.nn.utils import parametrize

from .convolution import ApproxConv2d, pair
from .linear import ApproxLinear
from .weights import WeightLayer


class Owned:
    """A parameter or buffer of a module by name, whatever tensor it is by now."""

    def __init__(self, module: nn.Module, name: str) -> None:
        self.module, self.name = module, name

    def __call__(self) -> Tensor:
        """The tensor as it is now."""
        return getattr(self.module, self.name)

    def sources(self) -> tuple[Tensor | None, ...]:
        """The tensors that it comes from."""
        if not parametrize.is_parametrized(self.module, self.name):
            return (self(),)
        held = self.module.get_submodule(f"parametrizations.{self.name}")
        return *held.parameters(), *held.buffers()


class _Shared(WeightLayer):
    """The parameters stay where they are, unregistered here, so the state dict keeps its names."""

    def __init__(self, weight: Owned, bias: Owned | None = None) -> None:
        nn.Module.__init__(self)
        self._owned = (weight, bias)

    def sources(self) -> tuple[Tensor | None, ...]:
        """The other module's parameters."""
        return tuple(tensor for one in self._owned if one is not None for tensor in one.sources())


class ApproxProjection(_Shared, ApproxLinear):
    """A Linear whose weight [N, K] and bias are (parts of) parameters that belong to another module.

    ``rows`` of the weight and ``bias_rows`` of the bias are taken; ``transposed`` says that the parameter is [K, N].
    """

    def __init__(
        self,
        weight: Owned,
        bias: Owned | None = None,
        rows: slice = slice(None),
        bias_rows: slice = slice(None),
        transposed: bool = False,
    ) -> None:
        super().__init__(weight, bias)
        self.rows, self.bias_rows, self.transposed = rows, bias_rows, transposed
        self.begin()

    @property
    def weight(self) -> Tensor:  # type: ignore[override]  # made anew, where torch keeps a parameter
        """The weight [N, K] as it is now."""
        weight = self._owned[0]()
        return (weight.T if self.transposed else weight)[self.rows]

    @property
    def bias(self) -> Tensor | None:  # type: ignore[override]  # made anew, where torch keeps a parameter
        """The bias [N] as it is now."""
        return None if self._owned[1] is None else self._owned[1]()[self.bias_rows]


class SharedConv2d(_Shared, ApproxConv2d):
    """A convolution whose weight belongs to a module that calls ``F.conv2d`` itself, and adds the bias."""

    def __init__(self, weight: Owned, stride: Any, padding: Any, dilation: Any, groups: int) -> None:
        super().__init__(weight)
        self.kernel_size, self.stride, self.dilation = tuple(self.weight.shape[2:]), pair(stride), pair(dilation)
        self.padding, self.groups = padding, groups
        self.begin()

    @property
    def weight(self) -> Tensor:  # type: ignore[override]  # made anew, where torch keeps a parameter
        """The weight [N, C, H, W] as it is now."""
        return self._owned[0]()

    @property
    def bias(self) -> None:  # type: ignore[override]  # made anew, where torch keeps a parameter
        """None: the module adds its own."""
        return None
