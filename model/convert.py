"""``approximate_``: turn a float model, in place, into one whose products come from cells."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

from slipstick.errors import UserError
from slipstick.rtl.cells import cell as cell_by_name
from slipstick.rtl.cells.cell import Cell
from slipstick.rtl.cells.wrapped import for_arrays
from slipstick.rtl.spec.array import ArrayConfig

from .conversion.batch import Batch, is_compiled, some
from .conversion.calibrate import calibrate, count_codes
from .conversion.inputs import read_batches
from .conversion.plan import plan
from .conversion.record import Conversion, signature
from .conversion.record import keep as keep_record
from .conversion.replace import convert_
from .conversion.state import all_or_nothing, evaluating
from .integer.config import IntegerConfig
from .integer.convert import check_supported, choose_scales_, integer_, observe_and_fold_
from .layers.config import QuantConfig
from .layers.heads import HeadGrids, PerHead
from .layers.mixed import Grid
from .layers.ranges import OperandRange
from .layers.table_layer import Cells, table_layers
from .saving.converted import load_converted, save_converted
from .structure import structure_facts

__all__ = [
    "DEFAULT", "EXACT", "CellChoice", "ConversionReport", "Rules", "approximate_", "assign_", "check_rules",
    "describe", "grid_of", "layer_names", "load_converted", "save_converted", "table_layers",
]  # fmt: skip

CellChoice = str | Cell | Sequence[str | Cell] | ArrayConfig | PerHead
Rules = Mapping[str, CellChoice]
DEFAULT = "default"
EXACT = "exact8s"


EXAMPLES = 2  # inputs that tracing runs
WORST = 5  # ranges that a report shows


@dataclass
class ConversionReport:
    """What ``approximate_`` did.

    ``layers``: layer -> cells. ``left_exact``: modules or layers with products in float -> why.
    ``unused``: layers that calibration never reached, which raise when they are run. ``ranges``: layer -> the
    range of every operand, and what it clips of the calibration data.
    """

    layers: dict[str, str] = field(default_factory=dict)
    left_exact: dict[str, str] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)
    ranges: dict[str, tuple[OperandRange, ...]] = field(default_factory=dict)

    def worst_ranges(self, count: int = WORST) -> list[tuple[str, OperandRange]]:
        """The layers and operands of which the largest share of the energy lies beyond the range, worst first."""
        every = [(name, one) for name, ranges in self.ranges.items() for one in ranges if one.values]
        return sorted(every, key=lambda found: -found[1].energy)[:count]

    def warnings(self) -> list[str]:
        """A line for every range that clips values of twice its size, or errs more by clipping than by rounding."""
        return [f"{name}: {one}" for name, ranges in self.ranges.items() for one in ranges if one.suspicious]

    def __str__(self) -> str:
        lines = [f"{name}: {cells}" for name, cells in self.layers.items()]
        lines += [f"{name or 'the model itself'}: left in float, {why}" for name, why in self.left_exact.items()]
        lines += [f"{name}: not run on the calibration data" for name in self.unused]
        lines += [f"{name}: {'; '.join(map(str, ranges))}" for name, ranges in self.ranges.items()]
        return "\n".join(lines + [f"warning: look at the range of {line}" for line in self.warnings()])


def approximate_(
    model: nn.Module,
    rules: Rules,
    batches: Batch | Iterable[Any],
    config: QuantConfig | None = None,
    seed: int = 0,
    keep: Sequence[str] = (),
    integer: bool | IntegerConfig = False,
) -> ConversionReport:
    """Convert every product of a model in place, calibrate, and choose cells by rule.

    Converted are Linear and Conv2d layers, attentions (timm's, torch's, and every
    ``scaled_dot_product_attention``), and all other matrix products, which one traced forward pass
    finds. Products without a form on cells are named in the report, with why.

    ``rules`` maps layer patterns to cells: an exact layer name, ``re:`` and a regular expression, or
    ``default``, in this order of precedence. A cell choice is a name or Cell, a sequence of them
    (output channel n uses entry n modulo its length), an ArrayConfig, or PerHead cells for a product of
    attention. Layers that no rule names are
    exact int8. ``batches`` are inputs for calibration, one or an iterable: tensors, tuples of positional arguments, or
    mappings of keyword arguments; labels beside them are left out (``conversion.inputs``).
    ``keep`` are patterns of layers, or names of modules, that stay in float. With ``integer`` a timm
    VisionTransformer becomes an ``IntegerVit``: no float is left between int8 image and integer logits.

    Modules stay the objects that they are, in every place that uses them, with their hooks, parametrisations, flags
    and attributes. Raises UserError for a rule or a pattern that matches no layer, an unknown cell, and NaN or Inf in
    parameters or inputs. Whatever fails, the model is untouched then.
    """
    with torch.inference_mode(False):
        return _approximate(model, rules, batches, config or QuantConfig(), seed, keep, integer)


def _approximate(
    model: nn.Module, rules: Rules, batches: Any, config: QuantConfig, seed: int, keep: Sequence[str],
    integer: bool | IntegerConfig,
) -> ConversionReport:  # fmt: skip
    _check_parameters(model)
    inputs = read_batches(model, batches)
    vit = check_supported(model) if integer else None
    if integer and keep:
        raise UserError("keep leaves layers in float, integer leaves nothing in float; drop one of them")
    example = some(inputs[0], 0, EXAMPLES)
    kept = _kept(keep, layer_names(model, example))
    planned = plan(model, example, lambda name: name in kept)
    check_rules(rules, [name for name in planned.layers if name not in kept])
    numbers = (integer if isinstance(integer, IntegerConfig) else IntegerConfig()) if integer else None
    record = Conversion(type(model).__name__, example, kept, numbers, signature(model), structure_facts(model))
    added: dict[str, tuple[OperandRange, ...]] = {}
    with all_or_nothing(model, parameters=vit is not None):
        if vit is not None:
            observed = observe_and_fold_(vit, inputs)
            planned = plan(model, example)
        convert_(model, planned, kept)
        for name, layer in table_layers(model).items():
            layer.path = name
        assign_(model, {})
        if vit is not None:
            choose_scales_(vit)
        missed = calibrate(model, inputs, config, seed)
        if vit is not None and numbers is not None:
            added = integer_(vit, observed, numbers)
            with evaluating(model):
                count_codes(model, inputs)
        assign_(model, rules)
        keep_record(model, record)
    if is_compiled(model):
        torch.compiler.reset()  # what was compiled is of the float model
    report = ConversionReport(unused=list(planned.unused))
    report.layers = {name: describe(layer.grid) for name, layer in table_layers(model).items()}
    report.ranges = {name: layer.ranges for name, layer in table_layers(model).items()} | added
    report.left_exact = dict.fromkeys(kept, "as asked")
    for found in (planned.left_exact, missed):
        for name, why in found.items():
            report.left_exact[name] = "; ".join(filter(None, (report.left_exact.get(name), why)))
    return report


def _check_parameters(model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if isinstance(parameter, UninitializedParameter):
            raise UserError(f"parameter {name!r} has no shape yet; run the model once on an input")
        if parameter.is_inference():
            raise UserError(f"parameter {name!r} was made inside torch.inference_mode; build the model outside of it")
        if not torch.isfinite(parameter).all():
            raise UserError(f"parameter {name!r} holds NaN or Inf")


def _kept(patterns: Sequence[str], names: list[str]) -> list[str]:
    """Layers that stay in float: named themselves, by ``re:``, or by a module above them."""
    kept = []
    for pattern in patterns:
        if pattern.startswith("re:"):
            found = [name for name in names if _matches(pattern, name)]
        else:
            found = [name for name in names if f"{name}.".startswith(f"{pattern}.")]
        if not found:
            raise UserError(f"keep: {_no_match(pattern, names)}")
        kept += found
    return list(dict.fromkeys(kept))


def assign_(model: nn.Module, rules: Rules) -> None:
    """Choose the cells of a converted model anew; layers that no rule names become exact int8.

    Raises UserError for a rule that matches no layer, an unknown cell, a cell that is not 8 x 8, or
    cells by head where there are no heads; no cell changes then.
    """
    layers = table_layers(model)
    check_rules(rules, list(layers))
    grids = {name: grid_of(_choice(rules, name)) for name in layers}
    for name, layer in layers.items():
        layer.check_cells(grids[name])
    for name, layer in layers.items():
        layer.set_cells(grids[name])


def grid_of(choice: CellChoice) -> Cells:
    """The repeating grid of cells that a choice stands for, or one for each head."""
    if isinstance(choice, PerHead):
        return HeadGrids(tuple(_columns([one]) for one in choice.cells) or (_columns([]),))
    if isinstance(choice, ArrayConfig):
        return choice.mix.grid
    return _columns([choice] if isinstance(choice, str | Cell) else list(choice))


def _columns(listed: Sequence[str | Cell]) -> Grid:
    cells = tuple(for_arrays(cell_by_name(c) if isinstance(c, str) else c) for c in listed)
    if not cells:
        raise UserError("a rule names no cell; give at least one, such as 'exact8s'")
    return (cells,)


def describe(grid: Cells) -> str:
    """Cell names of a grid, as ``a`` or ``a + b``, or ``a / b by head``."""
    if isinstance(grid, HeadGrids):
        return " / ".join(describe(one) for one in grid.grids) + " by head"
    return " + ".join(dict.fromkeys(cell.name for row in grid for cell in row))


def _choice(rules: Rules, name: str) -> CellChoice:
    if name in rules:
        return rules[name]
    for pattern, choice in rules.items():
        if pattern.startswith("re:") and _matches(pattern, name):
            return choice
    return rules.get(DEFAULT, EXACT)


def layer_names(model: nn.Module, example: Batch | None = None) -> list[str]:
    """Names that the layers of a float model will have once it is converted.

    Without an ``example`` input, products that modules make by themselves are not known.
    """
    return plan(model, example).layers


def check_rules(rules: Rules, names: list[str]) -> None:
    """UserError for a rule that matches none of these layers, or names no usable cell."""
    for pattern, choice in rules.items():
        grid_of(choice)
        if pattern == DEFAULT or pattern in names:
            continue
        if not (pattern.startswith("re:") and any(_matches(pattern, name) for name in names)):
            raise UserError(_no_match(pattern, names))


def _matches(pattern: str, name: str) -> bool:
    try:
        return re.fullmatch(pattern[3:], name) is not None
    except re.error as error:
        raise UserError(f"layer pattern {pattern!r} is not a regular expression: {error}") from error


def _no_match(pattern: str, names: list[str]) -> str:
    near = difflib.get_close_matches(pattern.removeprefix("re:"), names, n=4, cutoff=0.3) or names[:4]
    return f"layer pattern {pattern!r} matches no layer; near names: {', '.join(near)}"
