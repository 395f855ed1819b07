"""Products that a module makes with functions of torch, sent to cells that are children of the module.

A module found by tracing gets ``sites``, one for each of its products in order, and a class of its own
whose forward watches the calls of torch: ``q @ k.transpose(-2, -1)``, ``einsum``, ``F.linear`` of a bare
parameter, ``F.scaled_dot_product_attention`` and their like go to the children that the sites name.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from slipstick.errors import UserError

from ..layers.attention import attention_weights
from ..layers.mixin import change_class_
from ..layers.routing import known_float, owned_by, owner
from .products import Attention, Call, Convolution, recognise


@dataclass(frozen=True)
class Site:
    """One product of a module: ``layers`` are the children that compute it, none when it stays in float.

    ``constant`` tells which operand is a parameter ('left', 'right' or neither), ``whole`` that the
    child is a Linear whose own bias is the call's.
    """

    kind: str
    layers: tuple[str, ...]
    constant: str = ""
    whole: bool = False


class Intercepted(nn.Module):
    """A module whose own products run on its children; made by ``intercept_``, never built by hand."""

    cells_sites: tuple[Site, ...]
    cells_path: str
    cells_forward: Callable[..., Any] | None  # of the instance, where somebody put one

    @torch.compiler.disable
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The module's own forward. Raises UserError when its products differ from those that were traced."""
        frame = _Frame(self)
        with owned_by(frame), _Router(frame):
            result = (self.cells_forward or super().forward)(*args, **kwargs)
        frame.finish()
        return result


def intercept_(module: nn.Module, path: str, sites: tuple[Site, ...]) -> None:
    """Send the products of ``module`` to its children from now on."""
    own = vars(module).pop("forward", None)
    changed = change_class_(module, Intercepted)
    changed.cells_sites, changed.cells_path, changed.cells_forward = sites, path, own


class _Frame:
    """One run of an intercepted module: which site comes next."""

    def __init__(self, module: Intercepted) -> None:
        self.module, self.place = module, 0

    def answer(self, call: Call, plain: Callable[[], Any]) -> Any:
        sites, place = self.module.cells_sites, self.place
        self.place += 1
        if place >= len(sites) or sites[place].kind != call.kind:
            wanted = repr(sites[place].kind) if place < len(sites) else "nothing"
            raise UserError(
                f"module {self.module.cells_path!r}: product {place} is {call.kind!r} where tracing saw {wanted}; "
                "trace with inputs like those it is used on"
            )
        if not sites[place].layers:
            with known_float():
                return plain()
        return _compute(self.module, sites[place], call)

    def finish(self) -> None:
        if self.place != len(self.module.cells_sites):
            raise UserError(
                f"module {self.module.cells_path!r} made {self.place} products where tracing saw "
                f"{len(self.module.cells_sites)}; "
                "trace with inputs like those it is used on"
            )


class _Router(TorchFunctionMode):
    def __init__(self, frame: _Frame) -> None:
        super().__init__()
        self.frame = frame

    def __torch_function__(
        self, func: Callable[..., Any], types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if owner() is self.frame:
            call = recognise(func, args, kwargs)
            if call is not None:
                return self.frame.answer(call, lambda: func(*args, **kwargs))
        return func(*args, **kwargs)


def _compute(module: nn.Module, site: Site, call: Call) -> Tensor:
    first, *others = (module.get_submodule(name) for name in site.layers)
    if isinstance(call, Attention):
        logits = first(call.query, call.key.mT)
        weights = attention_weights(logits, call.scale, call.mask, call.causal).to(call.value.dtype)
        return others[0](F.dropout(weights, call.dropout), call.value)
    if isinstance(call, Convolution):
        return call.finish(first(call.images))
    if site.whole:
        return first(call.left)
    if site.constant == "right":
        return call.finish(first(call.left))
    if site.constant == "left":
        return call.finish(first(call.right.mT).mT)
    return call.finish(first(call.left, call.right))
