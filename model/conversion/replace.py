"""Carrying out a plan: modules are replaced, and products that modules make themselves get layers."""

from collections import Counter
from collections.abc import Collection
from typing import Any

from timm.layers.attention import Attention
from torch import Tensor, nn

from slipstick.errors import UserError

from ..layers.attention import ApproxAttention
from ..layers.convolution import ApproxConv2d
from ..layers.linear import ApproxLinear
from ..layers.matmul import ApproxMatmul
from ..layers.mixin import change_class_
from ..layers.multihead import ApproxMultiheadAttention
from ..layers.routing import Hidden, KeptFloat
from ..layers.shared import ApproxProjection, Owned, SharedConv2d
from ..layers.table_layer import TableLayer
from .intercept import intercept_
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

    cells_path: str

    def forward(self, *_: Any, **__: Any) -> Any:
        """Raises UserError."""
        raise UserError(f"layer {self.cells_path!r} is not calibrated; it did not run on the calibration data")


def convert_(model: nn.Module, plan: Plan, kept: Collection[str]) -> None:
    """Put the layers of a plan into a model, in place; layers named in ``kept`` stay in float.

    Modules stay the objects that they are, with their parameters, hooks, flags and attributes, and so in every place
    that uses them.
    """
    modules = dict(model.named_modules())
    tensors = _owners(modules)
    for path, module in plan.unused.items():
        change_class_(module, Unused).cells_path = path
    for path, sites in plan.sites.items():
        for name in (name for site in sites for name in site.layers):
            traced = plan.children.get(join(path, name))
            if traced is not None:
                child = FloatMatmul() if join(path, name) in kept else _child(traced, tensors)
                modules[path].add_module(name, child.train(modules[path].training))
        intercept_(modules[path], path, sites)
    own = {module: path for path, module in modules.items()}
    users = Counter(child for module in modules.values() for child in module.children())
    for path, module in plan.whole.items():
        kept_parts = {part for part in parts(module) if join(path, part) in kept}
        kept_parts |= {name for name, part in module.named_children() if own.get(part) in kept}
        _take_over(module, kept_parts & {*parts(module)}, any(users[part] > 1 for part in module.children()))
    for module in model.modules():  # kernels that would run a whole layer at once
        if isinstance(module, nn.TransformerEncoderLayer):
            module.activation_relu_or_gelu = 0
        if isinstance(module, nn.TransformerEncoder):
            module.use_nested_tensor = False


def _take_over(module: nn.Module, kept: Collection[str], shared: bool) -> None:
    """Turn a module that is converted as a whole, in place; ``kept`` are its parts that stay in float."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        if kept:
            change_class_(module, KeptFloat)
        elif isinstance(module, nn.Conv2d):
            ApproxConv2d.take_over_(module)
        else:
            ApproxLinear.take_over_(module)
        return
    if isinstance(module, nn.MultiheadAttention):
        ApproxMultiheadAttention.take_over_(module)
    for part in parts(module):
        child = module._modules.get(part)
        if child is None:
            module.add_module(part, ApproxMatmul().train(module.training))
        elif isinstance(child, nn.Linear) and not isinstance(child, TableLayer | KeptFloat):
            _take_over(child, {""} if part in kept else (), False)
    for part in kept:
        layer = module.get_submodule(part)
        if isinstance(layer, ApproxMatmul):
            module.add_module(part, FloatMatmul().train(module.training))
        elif isinstance(layer, ApproxProjection):
            module.add_module(part, FloatProjection(layer).train(module.training))
    if isinstance(module, Attention):
        ApproxAttention.put_on_cells_(module, shared)


def _owners(modules: dict[str, nn.Module]) -> dict[int, Owned]:
    """Where every parameter and buffer of a model is, by its identity."""
    found: dict[int, Owned] = {}
    for module in modules.values():
        for name, tensor in [*module._parameters.items(), *module._buffers.items()]:
            if tensor is not None:
                found.setdefault(id(tensor), Owned(module, name))
    return found


def _child(traced: Traced, tensors: dict[int, Owned]) -> nn.Module:
    constant = traced.constant
    if constant is None:
        return ApproxMatmul()
    owned = tensors[id(constant.tensor)]
    if traced.form is Convolution:
        assert traced.geometry is not None
        return SharedConv2d(owned, *traced.geometry)
    # a right operand is [K, N]: the transposed weight; a left one multiplies from the other side
    return ApproxProjection(owned, transposed=(constant.side == "right") != constant.transposed)


class FloatProjection(KeptFloat):
    """A part of a fused projection, left in float because the user asked for it."""

    def __init__(self, layer: ApproxProjection) -> None:
        super().__init__()
        self.view = (layer,)  # not registered: it stands for the parameters only

    def forward(self, values: Tensor) -> Tensor:
        """Rows [..., K] -> [..., N]."""
        return nn.functional.linear(values, self.view[0].weight, self.view[0].bias)
