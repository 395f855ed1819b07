"""Python values as JSON, their tensors apart: plain data, cells, and the project's own dataclasses; nothing else."""

import dataclasses
import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from slipstick.errors import UserError
from slipstick.rtl.cells.cell import Cell
from slipstick.rtl.cells.library import cell_document, read_netlist

OWN = ("slipstick.model.", "slipstick.rtl.spec.")


class Writer:
    """Collects ``tensors`` and the documents of ``cells`` by name while values become JSON."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.cells: dict[str, dict[str, Any]] = {}

    def __call__(self, value: Any, name: str) -> Any:
        """JSON of a value that stands at ``name``. Raises TypeError for a kind that cannot be read back."""
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, Tensor):
            self.tensors[name] = value
            return {"tensor": name}
        if isinstance(value, Cell):
            self.cells[value.name] = cell_document(value, {}) | {"parameters": list(value.parameters)}
            return {"cell": value.name}
        if isinstance(value, slice):
            return {"slice": [value.start, value.stop, value.step]}
        if isinstance(value, list | tuple):
            return {type(value).__name__ if type(value) in (list, tuple) else "tuple": self._parts(value, name)}
        if isinstance(value, Mapping):
            kind = "counter" if isinstance(value, Counter) else "dict"
            return {kind: [self._parts(pair, f"{name}.{place}") for place, pair in enumerate(value.items())]}
        if dataclasses.is_dataclass(value) and type(value).__module__.startswith(OWN):
            fields = {f.name: self(getattr(value, f.name), f"{name}.{f.name}") for f in dataclasses.fields(value)}
            return {"class": f"{type(value).__module__}:{type(value).__name__}", "fields": fields}
        raise TypeError(f"{name}: values of type {type(value).__name__} have no form in a file")

    def _parts(self, values: Any, name: str) -> list[Any]:
        return [self(one, f"{name}.{place}") for place, one in enumerate(values)]


class Reader:
    """What a ``Writer`` wrote, from its tensors and cells."""

    def __init__(self, tensors: Mapping[str, Tensor], cells: Mapping[str, Cell]) -> None:
        self.tensors, self.cells = tensors, cells

    def __call__(self, document: Any) -> Any:
        """The value. Raises KeyError, TypeError or ValueError for JSON that no Writer wrote."""
        if document is None or isinstance(document, bool | int | float | str):
            return document
        if "class" in document:
            return self._made(document["class"], {name: self(one) for name, one in document["fields"].items()})
        ((kind, content),) = document.items()
        if kind in ("tensor", "cell"):
            return (self.tensors if kind == "tensor" else self.cells)[content]
        if kind == "slice":
            return slice(*content)
        if kind in ("list", "tuple"):
            return {"list": list, "tuple": tuple}[kind](self(one) for one in content)
        pairs = ((self(key), self(value)) for key, value in content)
        if kind not in ("dict", "counter"):
            raise ValueError(f"unknown kind {kind}")
        return Counter(dict(pairs)) if kind == "counter" else dict(pairs)

    def _made(self, name: str, fields: dict[str, Any]) -> Any:
        module, _, own = name.partition(":")
        kind = getattr(sys.modules.get(module), own, None) if module.startswith(OWN) else None
        if not dataclasses.is_dataclass(kind) or not isinstance(kind, type):
            raise ValueError(f"unknown class {name}")
        return kind(**fields)


def read_cell(document: dict[str, Any]) -> Cell:
    """The cell of a document. Raises UserError, naming it, when its netlist is not that of its digest."""
    parameters = tuple((str(key), int(value)) for key, value in document["parameters"])
    netlist = read_netlist(document)
    cell = Cell(str(document["name"]), str(document["family"]), bool(document["signed"]), netlist, parameters)
    if cell.digest != document["digest"]:
        raise UserError(f"cell {cell.name!r}: its netlist is not that of its digest {document['digest'][:12]}")
    return cell


def storable(tensor: Tensor) -> Tensor:
    """A tensor as safetensors takes it: on the CPU, contiguous, with memory of its own."""
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
