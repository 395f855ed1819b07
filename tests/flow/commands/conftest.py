"""What tests of several commands need."""

from pathlib import Path

import numpy as np
import pytest

from slipstick.model.data import ASSETS
from slipstick.model.training import images


@pytest.fixture
def pack(tmp_path: Path, monkeypatch) -> Path:
    """Shipped training images as a pack with a split to train on; 16 are held out."""
    monkeypatch.setattr(images, "HELD_OUT", 16)
    with np.load(ASSETS / "cifar10_calibration.npz") as own:
        arrays = {f"train_{name}": own[name] for name in ("scan", "offset", "label")}
        np.savez(tmp_path / "pack.npz", header=own["header"], classes=own["classes"], **arrays)
    return tmp_path / "pack.npz"
