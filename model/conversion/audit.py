"""Products that a converted model still makes in float, seen where no function of torch can hide them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..layers.routing import is_known_float
from ..layers.table_layer import TableLayer
from .trace import module_stack

_PRODUCTS = (
    "mm", "bmm", "addmm", "baddbmm", "addbmm", "mv", "addmv", "dot", "vdot", "linear", "matmul", "einsum",
    "convolution", "_convolution", "mkldnn_convolution", "_trilinear", "_cdist_forward", "mkldnn_rnn_layer",
    "_native_multi_head_attention", "_transformer_encoder_layer_fwd",
)  # fmt: skip


def is_product(name: str) -> bool:
    """Whether an ATen operator of this name sums products of two tensors."""
    return name in _PRODUCTS or name.startswith("_scaled_dot_product")


@contextmanager
def audit(model: nn.Module) -> Iterator[dict[str, str]]:
    """Module -> why, for the float products that a model makes inside the context, outside its converted layers.

    Watches ATen operators, so products inside fused kernels, recurrent layers and the like are seen.
    Products that are in float on purpose are not listed.
    """
    names = {module: name for name, module in model.named_modules()}
    found: dict[str, str] = {}
    with module_stack(model) as stack, _Audit(stack, names, found):
        yield found


class _Audit(TorchDispatchMode):
    def __init__(self, stack: list[nn.Module], names: dict[nn.Module, str], found: dict[str, str]) -> None:
        super().__init__()
        self.stack, self.names, self.found = stack, names, found

    def __torch_dispatch__(
        self, func: OpOverload, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        if is_product(name) and not is_known_float() and not any(isinstance(one, TableLayer) for one in self.stack):
            floats = [x for x in tree_leaves(args) if isinstance(x, Tensor) and torch.is_floating_point(x)]
            if floats:
                where = self.names[self.stack[-1]] if self.stack else ""
                self.found[where] = f"{name.strip('_')} of this kind has no form on cells"
        return func(*args, **(kwargs or {}))
