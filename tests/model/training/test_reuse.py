"""Finetuning of a network that reuses attention: resumable, seeded, and the loss falls."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from slipstick.errors import UserError
from slipstick.model.data import shipped
from slipstick.model.reuse.config import ReuseConfig
from slipstick.model.reuse.convert import reuse_, reuse_facts
from slipstick.model.training.config import FinetuneConfig
from slipstick.model.training.finetune import finetune
from slipstick.model.training.images import TrainingImages
from slipstick.model.training.reuse import finetune_reuse
from slipstick.model.zoo import load_model

pytestmark = pytest.mark.usefixtures("one_thread")
CONFIG = FinetuneConfig(steps=4, batch=16, every=2, rate=3e-4)


def few() -> TrainingImages:
    images = shipped("calibration")
    return TrainingImages(images[:64], images[64:80], images[80:144])


def state(path: Path, config: FinetuneConfig = CONFIG, stop: bool = False, **options: object) -> dict[str, Tensor]:
    loaded = load_model()

    def report(record: dict[str, float]) -> None:
        if stop:
            raise KeyboardInterrupt

    finetune_reuse(loaded, (2, 4), few(), path, config, report=report, **options)
    return loaded.module.state_dict()


def test_a_killed_run_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    whole = state(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        state(tmp_path / "killed", stop=True)
    resumed = state(tmp_path / "killed")
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
    from_file = load_model(weights=tmp_path / "whole.safetensors").module.state_dict()
    assert all(torch.equal(value, from_file[name]) for name, value in whole.items())


def test_a_state_of_another_pattern_or_start_is_refused(tmp_path: Path) -> None:
    state(tmp_path / "one")
    with pytest.raises(UserError, match="written with another reuse"):
        finetune_reuse(load_model(), (3, 5), few(), tmp_path / "one", CONFIG)
    with pytest.raises(UserError, match="written with another fit"):
        state(tmp_path / "one", fit=False)


def test_finetuning_on_cells_keeps_the_pattern_beside_the_weights(tmp_path: Path) -> None:
    loaded = load_model()
    reuse_(loaded.module, (3,))
    config = FinetuneConfig(steps=1, batch=8, every=1)
    done = finetune(loaded, {"re:.*transform.linear": "drum8s_k4"}, few(), tmp_path / "cells", config)
    again = load_model(weights=done.weights).module
    assert reuse_facts(again) == {"blocks": [3], "transform": "full", "run": "last"}
    trained = loaded.module.state_dict()
    assert all(torch.equal(value, trained[name]) for name, value in again.state_dict().items())


def test_transformation_blocks_are_trained_and_no_encoders_give_a_control(tmp_path: Path) -> None:
    trained = state(tmp_path / "one", reuse=ReuseConfig())
    linear = trained["blocks.2.attn.transform.linear.weight"]
    assert not torch.equal(linear, torch.eye(128)) and torch.isfinite(linear).all()
    control = load_model()
    done = finetune_reuse(control, (), few(), tmp_path / "control", CONFIG)
    assert done.manifest["config"]["reuse"]["blocks"] == []
    assert control.module.state_dict().keys() == load_model().module.state_dict().keys()
    assert load_model(weights=done.weights).module.state_dict().keys() == control.module.state_dict().keys()
