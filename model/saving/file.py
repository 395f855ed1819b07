"""One safetensors file: tensors, a JSON manifest as its metadata, and a checksum of both."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

import slipstick
from slipstick.errors import UserError
from slipstick.files import write_whole

from ..tensor_file import read_tensors

FORMAT = 1
KIND = "slipstick converted model"


def write(path: Path, manifest: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Write a file in one step. Raises UserError where that is not possible."""
    text = json.dumps({"format": FORMAT, "slipstick": slipstick.__version__} | manifest)
    metadata = {"kind": KIND, "manifest": text, "sha256": _checksum(text, tensors)}
    write_whole(path, lambda file: save_file(tensors, file, metadata))


def read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Manifest and tensors. Raises UserError for other files, other formats, and damage anywhere."""
    try:
        metadata, tensors = read_tensors(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: cannot be read as a converted model ({error})") from error
    if metadata.get("kind") != KIND:
        raise UserError(f"{path}: holds tensors, but no converted model; save_converted writes one")
    try:
        manifest: dict[str, Any] = json.loads(metadata["manifest"])
        found = int(manifest["format"])
        if found == FORMAT and metadata["sha256"] != _checksum(metadata["manifest"], tensors):
            raise ValueError("its checksum is another")
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise UserError(f"{path}: is damaged ({error}); save the model again") from error
    if found != FORMAT:
        raise UserError(
            f"{path}: is of format {found}, written by slipstick {manifest.get('slipstick')}; "
            f"slipstick {slipstick.__version__} reads format {FORMAT}"
        )
    return manifest, tensors


def _checksum(text: str, tensors: Mapping[str, Tensor]) -> str:
    total = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()
