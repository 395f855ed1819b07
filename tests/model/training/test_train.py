"""Training: a killed run goes on to the same weights, and another configuration is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from slipstick.errors import UserError
from slipstick.model.data import ASSETS
from slipstick.model.training import train as training
from slipstick.model.training.train import TrainConfig, train

CONFIG = TrainConfig(epochs=2, batch=64)


@pytest.fixture
def pack(tmp_path: Path, monkeypatch) -> Path:
    """A small pack with the splits of CIFAR-10, made of shipped images."""
    monkeypatch.setattr(training, "HELD_OUT", 56)
    arrays = {}
    for split, prefix in (("calibration", "train_"), ("calibration", "test_")):
        with np.load(ASSETS / f"cifar10_{split}.npz") as own:
            arrays |= {prefix + name: own[name] for name in ("scan", "offset", "label")}
            arrays |= {name: own[name] for name in ("header", "classes")}
    np.savez(tmp_path / "pack.npz", **arrays)
    return tmp_path / "pack.npz"


def test_a_killed_run_ends_with_the_weights_of_an_unbroken_one(pack: Path, tmp_path: Path) -> None:
    whole = train(pack, tmp_path / "whole", CONFIG)

    def kill(record: dict[str, float]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(pack, tmp_path / "broken", CONFIG, kill)
    resumed = train(pack, tmp_path / "broken", CONFIG)
    one, two = load_file(whole), load_file(resumed)
    assert one.keys() == two.keys()
    assert all(bool((one[name] == two[name]).all()) for name in one)
    curve = json.loads((tmp_path / "broken.json").read_text())["curve"]
    assert [record["epoch"] for record in curve] == [1, 2] and "test" in curve[-1]


def test_a_state_of_another_configuration_is_refused(pack: Path, tmp_path: Path) -> None:
    train(pack, tmp_path / "run", TrainConfig(epochs=1, batch=64))
    with pytest.raises(UserError, match="delete it, or train with the same settings"):
        train(pack, tmp_path / "run", CONFIG)
