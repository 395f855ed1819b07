"""Which layers a float model will have on cells: names and kinds, decided before anything is touched."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from timm.layers.attention import Attention
from torch import nn

from slipstick.errors import UserError

from ..layers.attention import ApproxAttention
from ..layers.convolution import ApproxConv2d
from ..layers.linear import ApproxLinear
from ..layers.matmul import ApproxMatmul
from ..layers.multihead import ApproxMultiheadAttention
from ..layers.table_layer import TableLayer
from .batch import Batch
from .intercept import Site
from .products import Attention as AttentionCall
from .products import Convolution
from .trace import Trace, Traced, trace

OUTER = "outer product (K = 1) with a constant, as of positions and frequencies: nothing is summed"
Kept = Callable[[str], bool]


def is_whole(module: nn.Module) -> bool:
    """Whether a module is replaced as a whole: a plain Linear, Conv2d, timm Attention or MultiheadAttention."""
    forward = type(module).forward
    if "forward" in vars(module) or clashes(module):
        return False
    if forward is Attention.forward:
        layers = [module.get_submodule(part) for part in parts(module) if part in module._modules]
        return all(type(layer).forward is nn.Linear.forward and is_whole(layer) for layer in layers)
    if forward is nn.MultiheadAttention.forward:
        return is_whole(module.get_submodule("out_proj"))
    return forward is nn.Linear.forward or (
        forward is nn.Conv2d.forward and getattr(module, "padding_mode", "") == "zeros"
    )


def clashes(module: nn.Module) -> set[str]:
    """Names that a user's subclass of a layer uses, and the layer on cells would use otherwise."""
    base = next((one for one in _NAMES if isinstance(module, one)), None)
    if base is None or type(module) is base:
        return set()
    return (set(dir(module)) - set(dir(base)) - module._parameters.keys()) & _NAMES[base]


def _names(cells: type[nn.Module], base: type[nn.Module]) -> frozenset[str]:
    attributes = vars(ApproxMatmul()).keys() - vars(nn.Module()).keys() if issubclass(cells, TableLayer) else set()
    return frozenset(dir(cells)) - frozenset(dir(base)) | attributes


_NAMES = {
    nn.Linear: _names(ApproxLinear, nn.Linear),
    nn.Conv2d: _names(ApproxConv2d, nn.Conv2d),
    Attention: _names(ApproxAttention, Attention),
    nn.MultiheadAttention: _names(ApproxMultiheadAttention, nn.MultiheadAttention),
}


def parts(module: nn.Module) -> tuple[str, ...]:
    """Names of the layers that a module becomes, below its own name."""
    if isinstance(module, Attention):
        return ("qkv", "proj", "qk", "av", *(() if module.gate is None else ("gate",)))
    if isinstance(module, nn.MultiheadAttention):
        return ("q", "k", "v", "qk", "av", "out_proj")
    return ("",)


@dataclass
class Plan:
    """What is to be converted. Paths are names in the float model.

    ``whole`` modules are replaced; the products of the modules in ``sites`` go to new children, each
    made from what tracing saw of it; ``unused`` modules did not run.
    """

    whole: dict[str, nn.Module] = field(default_factory=dict)
    unused: dict[str, nn.Module] = field(default_factory=dict)
    sites: dict[str, tuple[Site, ...]] = field(default_factory=dict)
    children: dict[str, Traced] = field(default_factory=dict)
    layers: list[str] = field(default_factory=list)
    left_exact: dict[str, str] = field(default_factory=dict)


def join(path: str, name: str) -> str:
    """Dotted name of something below a module; either may be empty."""
    return f"{path}.{name}" if path and name else path or name


def plan(model: nn.Module, batch: Batch | None, kept: Kept = lambda name: False) -> Plan:
    """Trace a float model on a batch and name its layers; ``kept`` tells which of them stay in float.

    Without a batch only modules that are converted as a whole are known. Raises UserError when there
    is nothing to convert, or the model is itself one layer.
    """
    names = {module: name for name, module in model.named_modules()}
    if is_whole(model):
        raise UserError("the model is a single layer; wrap it in nn.Sequential to convert it in place")
    seen = Trace() if batch is None else trace(model, batch, is_whole)
    result = Plan()
    inside: set[nn.Module] = set()
    for name, module in model.named_modules():
        if is_whole(module) and module not in inside:
            inside.update(module.modules())
            ran = batch is None or module in seen.ran or module in _called_bare(seen, module)
            (result.whole if ran else result.unused)[name] = module
    for module, calls in seen.products.items():
        _plan_sites(result, names[module], module, calls, kept)
    for name, module in result.whole.items():  # a projection that several modules use is one layer
        layers = [names.get(module._modules.get(part), "") or join(name, part) for part in parts(module)]
        result.layers += [layer for layer in layers if layer not in result.layers]
    result.layers += [name for name in result.children if name not in result.layers]
    if not result.layers:
        raise UserError(f"{type(model).__name__} has no Linear, convolution or attention to convert")
    return result


def _called_bare(seen: Trace, linear: nn.Module) -> list[nn.Module]:
    """The layer itself if another module above it uses its weight with ``F.linear``, instead of calling it."""
    if not isinstance(linear, nn.Linear):
        return []
    used = any(_bare(owner, call) is linear for owner, calls in seen.products.items() for call in calls)
    return [linear] if used else []


def _bare(owner: nn.Module, call: Traced) -> nn.Linear | None:
    """The Linear below ``owner`` whose weight, and bias if it has one, a call of ``F.linear`` uses."""
    if call.kind != "linear" or call.constant is None or call.constant.side != "right":
        return None
    for module in owner.modules():
        if module is owner or not isinstance(module, nn.Linear) or not is_whole(module):
            continue
        if module.weight is call.constant.tensor and (module.bias is None or module.bias is call.bias):
            return module
    return None


def _plan_sites(result: Plan, path: str, module: nn.Module, calls: list[Traced], kept: Kept) -> None:
    own = {child: name for name, child in module.named_modules()}
    stems = [stem for call in calls for stem in _stems(call)]
    numbers: Counter[str] = Counter()

    def name_of(stem: str) -> str:
        number, numbers[stem] = numbers[stem], numbers[stem] + 1
        alone = stem in ("qk", "av") and stems.count(stem) == 1
        name = stem if alone else f"{stem}_{number}"
        while hasattr(module, name):
            name += "_product"
        return name

    sites = []
    for call in calls:
        linear = _bare(module, call)
        if linear is not None:
            layer = own[linear]
            on_cells = () if kept(join(path, layer)) else (layer,)
            sites.append(Site(call.kind, on_cells, "right", whole=linear.bias is not None))
            continue
        if call.outer or (call.form is Convolution and call.constant is None):
            sites.append(Site(call.kind, ()))
            reason = OUTER if call.outer else "convolution whose weights are computed in the forward pass"
            result.left_exact[path] = reason
            continue
        layers = tuple(name_of(stem) for stem in _stems(call))
        result.children |= {join(path, layer): call for layer in layers}
        if all(kept(join(path, layer)) for layer in layers):
            layers = ()
        sites.append(Site(call.kind, layers, call.constant.side if call.constant else ""))
    result.sites[path] = tuple(sites)


def _stems(call: Traced) -> tuple[str, ...]:
    if call.form is AttentionCall:
        return ("qk", "av")
    if call.form is Convolution:
        return ("conv",)
    if call.constant is not None:
        return ("linear",)
    if call.before_softmax:
        return ("qk",)
    return ("av",) if call.after_softmax else ("matmul",)
