"""``approximate_``: turn a float model, in place, into one whose products come from cells."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from timm.layers.attention import Attention
from torch import Tensor, nn

from slipstick.errors import UserError
from slipstick.rtl.cells import cell as cell_by_name
from slipstick.rtl.cells.cell import Cell
from slipstick.rtl.spec.array import ArrayConfig

from .attention import ApproxAttention
from .calibrate import calibrate
from .layers import ApproxConv2d, ApproxLinear
from .mixed import Grid
from .quantise import QuantConfig
from .table_layer import TableLayer

CellChoice = str | Cell | Sequence[str | Cell] | ArrayConfig
Rules = Mapping[str, CellChoice]
DEFAULT = "default"
EXACT = "exact8s"


@dataclass
class ConversionReport:
    """What ``approximate_`` did: layer -> cells, and the modules with products left in float, with why."""

    layers: dict[str, str] = field(default_factory=dict)
    left_exact: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"{name}: {cells}" for name, cells in self.layers.items()]
        return "\n".join(lines + [f"{name}: left in float, {why}" for name, why in self.left_exact.items()])


def table_layers(model: nn.Module) -> dict[str, TableLayer]:
    """The converted layers of a model by name, in order of registration."""
    return {name: module for name, module in model.named_modules() if isinstance(module, TableLayer)}


def approximate_(
    model: nn.Module, rules: Rules, batches: Iterable[Tensor], config: QuantConfig | None = None, seed: int = 0
) -> ConversionReport:
    """Convert every Linear, Conv2d and timm Attention in place, calibrate, and choose cells by rule.

    ``rules`` maps layer patterns to cells: an exact layer name, ``re:`` and a regular expression, or
    ``default``, in this order of precedence. A cell choice is a name or Cell, a sequence of them
    (output channel n uses entry n modulo its length), or an ArrayConfig. Layers that no rule names are
    exact int8. ``batches`` are float inputs for calibration. Raises UserError for a rule that matches
    no layer or an unknown cell; the model is untouched then.
    """
    check_rules(rules, layer_names(model))
    report = ConversionReport()
    for name, module in _convertible(model):
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent) if parent else model, child, _replacement(module))
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.MultiheadAttention | nn.Bilinear):
            report.left_exact[name] = f"{type(module).__name__} of this kind has no table form yet"
    for name, layer in table_layers(model).items():
        layer.path = name
    assign_(model, {})
    calibrate(model, batches, config or QuantConfig(), seed)
    assign_(model, rules)
    report.layers = {name: describe(layer.grid) for name, layer in table_layers(model).items()}
    return report


def assign_(model: nn.Module, rules: Rules) -> None:
    """Choose the cells of a converted model anew; layers that no rule names become exact int8.

    Raises UserError for a rule that matches no layer, an unknown cell or a cell that is not signed 8 x 8.
    """
    layers = table_layers(model)
    check_rules(rules, list(layers))
    for name, layer in layers.items():
        layer.set_cells(grid_of(_choice(rules, name)))


def grid_of(choice: CellChoice) -> Grid:
    """The repeating grid of cells that a choice stands for."""
    if isinstance(choice, ArrayConfig):
        return choice.mix.grid
    listed = [choice] if isinstance(choice, str | Cell) else list(choice)
    cells = tuple(cell_by_name(c) if isinstance(c, str) else c for c in listed)
    if not cells:
        raise UserError("a rule names no cell; give at least one, such as 'exact8s'")
    for cell in cells:
        if not cell.signed or cell.widths != (8, 8):
            raise UserError(f"cell {cell.name!r} is not signed 8 x 8, as int8 layers need")
    return (cells,)


def describe(grid: Grid) -> str:
    """Cell names of a grid, as ``a`` or ``a + b``."""
    return " + ".join(dict.fromkeys(cell.name for row in grid for cell in row))


def _choice(rules: Rules, name: str) -> CellChoice:
    if name in rules:
        return rules[name]
    for pattern, choice in rules.items():
        if pattern.startswith("re:") and re.fullmatch(pattern[3:], name):
            return choice
    return rules.get(DEFAULT, EXACT)


def layer_names(model: nn.Module) -> list[str]:
    """Names that the layers of a float model will have once it is converted."""
    return [layer for name, _ in _convertible(model) for layer in _layer_names(model, name)]


def check_rules(rules: Rules, names: list[str]) -> None:
    """UserError for a rule that matches none of these layers, or names no usable cell."""
    for pattern, choice in rules.items():
        grid_of(choice)
        if pattern == DEFAULT or pattern in names:
            continue
        if pattern.startswith("re:"):
            try:
                if any(re.fullmatch(pattern[3:], name) for name in names):
                    continue
            except re.error as error:
                raise UserError(f"layer pattern {pattern!r} is not a regular expression: {error}") from error
        near = difflib.get_close_matches(pattern.removeprefix("re:"), names, n=4, cutoff=0.3) or names[:4]
        raise UserError(f"layer pattern {pattern!r} matches no layer; near names: {', '.join(near)}")


def _convertible(model: nn.Module) -> list[tuple[str, nn.Module]]:
    attentions = [name for name, module in model.named_modules() if isinstance(module, Attention)]
    found = []
    for name, module in model.named_modules():
        if any(name.startswith(f"{attention}.") for attention in attentions):
            continue
        linear = type(module) is nn.Linear
        convolution = isinstance(module, nn.Conv2d) and ApproxConv2d.supports(module)
        if linear or convolution or isinstance(module, Attention):
            found.append((name, module))
    if not found:
        raise UserError(f"{type(model).__name__} has no Linear, Conv2d or timm Attention to convert")
    if found[0][0] == "":
        raise UserError("the model is a single layer; wrap it in nn.Sequential to convert it in place")
    return found


def _layer_names(model: nn.Module, name: str) -> list[str]:
    module = model.get_submodule(name)
    if not isinstance(module, Attention):
        return [name]
    gate = [] if module.gate is None else [f"{name}.gate"]
    return [f"{name}.{part}" for part in ("qkv", "proj", "qk", "av")] + gate


def _replacement(module: nn.Module) -> nn.Module:
    if isinstance(module, Attention):
        return ApproxAttention(module)
    if isinstance(module, nn.Conv2d):
        return ApproxConv2d.from_float(module)
    assert isinstance(module, nn.Linear)
    return ApproxLinear.from_float(module)
