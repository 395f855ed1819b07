"""``save_converted`` and ``load_converted``: a converted model in one file, and back, bit for bit."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from slipstick.errors import UserError
from slipstick.rtl.cells import cell as cell_by_name
from slipstick.rtl.cells.cell import Cell

from ..conversion.plan import plan
from ..conversion.record import Conversion, conversion_of, keep, signature
from ..conversion.replace import convert_
from ..conversion.state import all_or_nothing
from ..integer.config import IntegerConfig
from ..integer.convert import integer_form_
from ..integer.fold import fold_
from ..integer.vit import IntegerVit
from ..layers.matmul import ApproxMatmul
from ..layers.observe import Observer
from ..layers.offset import OffsetLayer
from ..layers.sample import Sample
from ..layers.table_layer import TableLayer, table_layers
from ..structure import restore_structure_, structure_facts
from ..vit_parts import activated
from ..weightless.replace import weightless_mlps
from . import file
from .values import Reader, Writer, read_cell, storable

SAVED = {name for name in vars(ApproxMatmul()) if not name.startswith("_")} - {"training", "recorder"}
PRIVATE = ("_weight_limit",)


def save_converted(model: nn.Module, path: str | Path, samples: bool = True) -> None:
    """Write a model that ``approximate_`` converted to ``path``, a safetensors file, in one step.

    It holds all parameters and buffers, cells as netlists, their assignment, scales, operand statistics, offsets,
    piecewise linear tables and what ``load_converted`` needs to build the layers again. Without ``samples`` the
    inputs of layers that predictions of damage use are left out, which makes most of a file. Raises UserError for a
    model that is not converted, and where nothing can be written.
    """
    conversion, layers, writer = conversion_of(model), table_layers(model), Writer()
    manifest = {
        "conversion": writer(conversion, "conversion"),
        "layers": {name: writer(_attributes(one, samples), f"layers.{name}") for name, one in layers.items()},
        "held": [name for name, one in layers.items() if isinstance(one, OffsetLayer) and one.is_held()],
        "tables": {name: writer(parent.act.table, f"tables.{name}") for name, parent in _tables(model)},
        "training": [name for name, module in model.named_modules() if module.training],
        "frozen": [name for name, one in model.named_parameters() if not one.requires_grad],
    }  # fmt: skip
    tensors = writer.tensors | {f"state.{name}": value for name, value in model.state_dict().items()}
    manifest["cells"] = list(writer.cells.values())
    file.write(Path(path), manifest, {name: storable(value) for name, value in tensors.items()})


def load_converted(model: nn.Module | Callable[[], nn.Module], path: str | Path) -> nn.Module:
    """Make a float model what ``save_converted`` wrote, without calibration data: in place, and returned.

    ``model`` is built as the saved one was before its conversion, with any weights, or makes such a model; attention
    that is reused and weightless MLPs are put into a plain timm ViT. Raises UserError for a file that is damaged,
    foreign or of another format, another model, and a cell that is another here than in the file; the model is
    untouched then.
    """
    path = Path(path)
    manifest, tensors = file.read(path)
    try:
        cells = {one["name"]: read_cell(one) for one in manifest["cells"]}
        reader = Reader(tensors, cells)
        conversion = reader(manifest["conversion"])
        layers = {name: reader(one) for name, one in manifest["layers"].items()}
        tables = {name: reader(one) for name, one in manifest["tables"].items()}
        held, training, frozen = ({*manifest[part]} for part in ("held", "training", "frozen"))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: is no whole converted model ({error!r})") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    for cell in cells.values():
        _check_cell(cell, path)
    module = model if isinstance(model, nn.Module) else model()
    _check_model(module, conversion, path)
    state = {name.removeprefix("state."): value for name, value in tensors.items() if name.startswith("state.")}
    with all_or_nothing(module, parameters=True), torch.inference_mode(False):
        _convert(module, conversion, layers, tables, state)
        for name, one in table_layers(module).items():
            if isinstance(one, OffsetLayer) and name in held:
                one.hold_next()
        for name, part in module.named_modules():
            part.training = name in training
        for name, parameter in module.named_parameters():
            parameter.requires_grad_(name not in frozen)
    return module


def _tables(model: nn.Module) -> Iterator[tuple[str, Any]]:
    return activated(model) if isinstance(model, IntegerVit) else iter(())


def _attributes(layer: TableLayer, samples: bool) -> dict[str, Any]:
    """What makes a module a layer on cells, beside parameters, buffers and caches."""
    found = {name: value for name, value in vars(layer).items() if name in SAVED or name in PRIVATE}
    found = {name: value for name, value in found.items() if not isinstance(value, Observer)}
    return found if samples else found | {"sample": Sample(layer.sample.images)}


def _check_cell(cell: Cell, path: Path) -> None:
    try:
        own = cell_by_name(cell.name)
    except UserError:  # not known here: the file's serves
        return
    if own.digest != cell.digest:
        raise UserError(f"{path}: cell {cell.name!r} is another one here than in the file ({cell.digest[:12]})")


def _check_model(model: nn.Module, conversion: Conversion, path: Path) -> None:
    """UserError unless the model, with the saved one's structure, is the same."""
    if table_layers(model):
        raise UserError(f"{path}: the model given is converted already; give one as it is built")
    structure = structure_facts(model)
    if structure is not None and structure != conversion.structure:
        raise UserError(f"{path}: another structure ({conversion.structure}) than the model's ({structure})")
    if conversion.structure is not None:
        model = copy.deepcopy(model)
        _restore_structure_(model, conversion)
    own, saved = signature(model), conversion.state
    for name in [*saved, *own]:
        if own.get(name) != saved.get(name):
            raise UserError(
                f"{path}: is of a {conversion.model} whose {name!r} is {saved.get(name, 'missing')}, "
                f"in this {type(model).__name__} it is {own.get(name, 'missing')}; build the model that was saved"
            )


def _restore_structure_(model: nn.Module, conversion: Conversion) -> None:
    """Reused attention and weightless MLPs of a model that has none."""
    if conversion.structure is None or structure_facts(model) is not None:
        return
    restore_structure_(model, conversion.structure)
    for name, mlp in weightless_mlps(model).items():
        if any(other.startswith(f"{name}.mappings") and other.endswith("scores") for other in conversion.state):
            mlp.learn_mapping_()


def _convert(
    model: nn.Module, conversion: Conversion, layers: dict[str, dict[str, Any]], tables: dict[str, Any],
    state: dict[str, Tensor],
) -> None:  # fmt: skip
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    kept, config = set(conversion.kept), conversion.integer
    _restore_structure_(model, conversion)
    model.eval()
    if config is not None:
        assert isinstance(model, VisionTransformer) and isinstance(config, IntegerConfig)
        fold_(model)
    convert_(model, plan(model, conversion.example, lambda name: name in kept), kept)
    found = table_layers(model)
    if found.keys() != layers.keys():
        raise UserError(f"the model has other layers than the saved one: {sorted(found.keys() ^ layers.keys())[:4]}")
    for name, layer in found.items():
        for key, value in layers[name].items():
            setattr(layer, key, value)
        layer.forget_prepared()
        for part in ("gradient", "codes", "stationary"):
            value = getattr(layer.sample, part)
            setattr(layer.sample, part, value if value is None else value.to(device))
    _take_buffers(model, state, device)
    if config is not None:
        assert isinstance(model, VisionTransformer)
        integer_form_(model, tables, config)
        _take_buffers(model, state, device)
    for name, parameter in model.named_parameters():
        parameter.data = parameter.data.to(state[name].dtype)
    model.load_state_dict(state)
    keep(model, conversion)


def _take_buffers(model: nn.Module, state: dict[str, Tensor], device: torch.device) -> None:
    """Take buffers whose shapes or types conversion decides, before anything is copied into them."""
    for path, module in model.named_modules():
        for name, old in module._buffers.items():
            new = state.get(f"{path}.{name}" if path else name)
            if old is not None and new is not None and (old.shape != new.shape or isinstance(module, TableLayer)):
                module._buffers[name] = new.clone().to(device)
