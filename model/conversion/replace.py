"""Carrying out a plan: modules are replaced, and products that modules make themselves get layers."""

from collections.abc import Collection
from typing import Any

from timm.layers.attention import Attention
from torch import Tensor, nn

from slipstick.errors import UserError

from ..layers.attention import ApproxAttention
from ..layers.convolution import ApproxConv2d
from ..layers.linear import ApproxLinear
from ..layers.matmul import ApproxMatmul
from ..layers.multihead import ApproxMultiheadAttention
from ..layers.routing import Hidden, KeptFloat
from ..layers.shared import ApproxProjection, SharedConv2d
from .intercept import change_class_, intercept_
from .plan import Plan, join, parts
from .products import Convolution
from .trace import Traced


class FloatMatmul(KeptFloat):
    """The product of two activations, left in float because the user asked for it."""

    def forward(self, values: Tensor, stationary: Tensor) -> Tensor:
        """[..., M, K] and [..., K, N] -> [..., M, N]."""
        return values @ stationary


class Unused(Hidden):
    """A layer that calibration never reached: it has no scales, and must not compute in float unnoticed."""

    path: str

    def forward(self, *_: Any, **__: Any) -> Any:
        """Raises UserError."""
        raise UserError(f"layer {self.path!r} is not calibrated; it did not run on the calibration data")


def convert_(model: nn.Module, plan: Plan, kept: Collection[str]) -> None:
    """Put the layers of a plan into a model; layers named in ``kept`` stay in float."""
    modules = dict(model.named_modules())
    for path, module in plan.unused.items():
        module.path = path  # type: ignore[assignment]
        change_class_(module, Unused)
    for path, sites in plan.sites.items():
        for name in (name for site in sites for name in site.layers):
            traced = plan.children.get(join(path, name))
            if traced is not None:
                modules[path].add_module(name, FloatMatmul() if join(path, name) in kept else _child(traced))
        intercept_(modules[path], path, sites)
    for path, module in plan.whole.items():
        if parts(module) == ("",) and path in kept:
            change_class_(module, KeptFloat)
            continue
        replacement = _replacement(module)
        for part in parts(module):
            if join(path, part) in kept:
                _keep(replacement, module, part)
        for parent in modules.values():  # a layer may be shared by several
            for name, child in list(parent.named_children()):
                if child is module:
                    setattr(parent, name, replacement)
    for module in model.modules():  # kernels that would run a whole layer at once
        if isinstance(module, nn.TransformerEncoderLayer):
            module.activation_relu_or_gelu = 0
        if isinstance(module, nn.TransformerEncoder):
            module.use_nested_tensor = False


def _replacement(module: nn.Module) -> nn.Module:
    if isinstance(module, Attention):
        return ApproxAttention(module)
    if isinstance(module, nn.MultiheadAttention):
        return ApproxMultiheadAttention(module)
    if isinstance(module, nn.Conv2d):
        return ApproxConv2d.from_float(module)
    assert isinstance(module, nn.Linear)
    return ApproxLinear.from_float(module)


def _child(traced: Traced) -> nn.Module:
    constant = traced.constant
    if constant is None:
        return ApproxMatmul()
    if traced.form is Convolution:
        assert traced.geometry is not None
        return SharedConv2d(constant.tensor, *traced.geometry)
    # a right operand is [K, N]: the transposed weight; a left one multiplies from the other side
    return ApproxProjection(constant.tensor, transposed=(constant.side == "right") != constant.transposed)


def _keep(attention: nn.Module, before: nn.Module, part: str) -> None:
    layer = attention.get_submodule(part)
    if isinstance(layer, ApproxMatmul):
        setattr(attention, part, FloatMatmul())
    elif isinstance(layer, ApproxProjection):
        setattr(attention, part, FloatProjection(layer))
    else:
        own = before.get_submodule(part)
        change_class_(own, KeptFloat)
        setattr(attention, part, own)


class FloatProjection(KeptFloat):
    """A part of a fused projection, left in float because the user asked for it."""

    def __init__(self, layer: ApproxProjection) -> None:
        super().__init__()
        self.view = (layer,)  # not registered: it stands for the parameters only

    def forward(self, values: Tensor) -> Tensor:
        """Rows [..., K] -> [..., N]."""
        return nn.functional.linear(values, self.view[0].weight, self.view[0].bias)
