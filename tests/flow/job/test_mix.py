"""A study is bound to all that decides its values; another setting is refused before anything slow, or written."""

from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from torch import nn

from slipstick.flow.job import mix
from slipstick.flow.job.config import FlowConfig, searched_cells
from slipstick.flow.job.mix import BY_CONTENT, FREE, search_settings
from slipstick.flow.job.workbench import load_images
from slipstick.flow.library.liberty import default_liberty
from slipstick.flow.search.journal import open_journal
from slipstick.flow.search.study import search
from slipstick.model.data import Images
from slipstick.model.layers.config import QuantConfig
from slipstick.model.zoo import load_model
from tests.flow.command_line import call
from tests.flow.search.test_study import synthetic

OTHER = {
    "model": "another", "model_args": "depth=3", "quantisation": QuantConfig(weight_bits=6), "rows": 8, "columns": 8,
    "tile": "8x16", "clock_mhz": 50.0, "delays": "nldm", "palette": 3, "search_images": 20, "max_loss": 2.0,
}  # fmt: skip


def settings(config: FlowConfig, **other) -> dict:
    images = Images(np.zeros((2, 4, 4, 3), np.uint8), np.array([0, 1]), ("a", "b"))
    parts = {
        "loaded": SimpleNamespace(module=nn.Linear(2, 2, bias=False)), "images": SimpleNamespace(calibration=images),
        "judges": images, "liberty": SimpleNamespace(digest="one"), "cells": searched_cells("drum8s_k4"),
    }  # fmt: skip
    nn.init.zeros_(parts["loaded"].module.weight)
    return search_settings(config, **parts | other)


def test_every_setting_is_bound_by_value_or_by_content_or_does_not_decide() -> None:
    assert {field.name for field in fields(FlowConfig)} == {*OTHER, *BY_CONTENT, *FREE}
    plain = settings(FlowConfig())
    for name, value in OTHER.items():
        other = settings(replace(FlowConfig(), **{name: value}))
        assert {key for key in plain if plain[key] != other[key]} == {name}
    for name in FREE:
        value = {"sampler": "tpe"}.get(name, 7)
        assert settings(replace(FlowConfig(), **{name: value})) == plain


def test_what_files_hold_is_bound_not_what_they_are_called() -> None:
    config, plain = FlowConfig(), settings(FlowConfig())
    assert settings(replace(config, weights="elsewhere.safetensors", images="photos")) == plain
    brighter = Images(np.ones((2, 4, 4, 3), np.uint8), np.array([0, 1]), ("a", "b"))
    changed = {
        "weights": {"loaded": SimpleNamespace(module=nn.Linear(2, 2, bias=False))},
        "calibration images": {"images": SimpleNamespace(calibration=brighter)},
        "search images": {"judges": brighter},
        "liberty": {"liberty": SimpleNamespace(digest="two")},
        "cell": {"cells": searched_cells("drum8s_k3")},
    }
    for key, part in changed.items():
        assert {name for name in plain if plain[name] != settings(config, **part)[name]} == {key}


def test_another_setting_in_the_same_folder_is_refused_at_once(tmp_path: Path, monkeypatch, capsys) -> None:
    config = FlowConfig(cells="drum8s_k4", search_images=50)
    loaded = load_model()
    images = load_images(None, None, loaded, 10)
    own = search_settings(
        config, loaded, images, images.search.balanced(50), default_liberty(), searched_cells(config.cells)
    )
    with open_journal(tmp_path / "study.journal") as storage:
        search(synthetic(3), trials=1, storage=storage, settings=own)
    monkeypatch.setattr(mix, "open_workbench", None)  # calibration, the first slow step, would fail
    options = ["--cells", "drum8s_k4", "--clock-mhz", "50", "--search-images", "20", "--out", str(tmp_path)]
    assert call(monkeypatch, "search", *options) == 2
    told = capsys.readouterr().err.strip()
    assert "clock_mhz: 100.0 there, 50.0 now" in told and "search_images: 50 there, 20 now" in told
    assert "weights" not in told and "\n" not in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["study.journal", "study.journal.process"]
