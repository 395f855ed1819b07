"""Tensors and texts of a safetensors file."""

from pathlib import Path

from safetensors import safe_open
from torch import Tensor


def read_tensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """The metadata of a file and its tensors by name. Raises OSError and SafetensorError where it is none."""
    with safe_open(path, "pt") as file:
        return file.metadata() or {}, {name: file.get_tensor(name) for name in list(file.keys())}
