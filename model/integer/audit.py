"""Proof that an integer model computes whole numbers only: every ATen operator of a forward pass is looked at."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..conversion.trace import module_stack
from .vit import IntegerVit


@torch.no_grad()
def float_operations(model: IntegerVit, images: Tensor) -> list[str]:
    """``module: operator`` for all operators that read or give a float between int8 images and integer logits.

    ``images`` int8 [B, 3, H, W]. Constants of the parameters are made first, by an unwatched pass. On
    devices without the compiled kernels, products of cells show here: they are exact sums of whole
    numbers held in float tensors.
    """
    model(images)
    names = {module: name for name, module in model.named_modules()}
    with module_stack(model) as stack, _FloatAudit(stack, names) as audit:
        model(images)
    return audit.found


class _FloatAudit(TorchDispatchMode):
    def __init__(self, stack: list[nn.Module], names: dict[nn.Module, str]) -> None:
        super().__init__()
        self.stack, self.names = stack, names
        self.found: list[str] = []

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [x for x in tree_leaves((args, kwargs, result)) if isinstance(x, Tensor)]
        if any(x.is_floating_point() or x.is_complex() for x in tensors):
            where = self.names[self.stack[-1]] if self.stack else ""
            self.found.append(f"{where}: {func}")
        return result
