"""Every command that calibrates has the same options for it, and they reach the layers."""

import importlib
import inspect
import json

import pytest

from slipstick.flow.commands.quantisation import OPTIONS, takes_quantisation
from slipstick.model.layers.config import QuantConfig
from tests.flow.command_line import call

CALIBRATING = ("evaluate", "search", "flow", "finetune", "cosim", "cells_workload")


@pytest.mark.parametrize("command", CALIBRATING)
def test_every_command_that_calibrates_has_the_options(command: str) -> None:
    run = importlib.import_module(f"slipstick.flow.commands.{command}").run
    own = inspect.signature(run).parameters
    assert OPTIONS.keys() <= own.keys() and "quantisation" not in own
    assert all(own[name] == option for name, option in OPTIONS.items())


def test_options_become_the_configuration() -> None:
    got = {}

    @takes_quantisation
    def run(other: int, quantisation: QuantConfig) -> None:
        got[other] = quantisation

    given = {"method": "mse", "percentile": 98.0, "activation_bits": 6, "weight_bits": 5, "stationary_bits": 4,
             "clip_weights": False}  # fmt: skip
    run(other=3, **given)
    assert got == {3: QuantConfig("mse", 98.0, 6, 5, 4, False)}


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [("--weight-bits", "9", "--weight-bits 9: must be"), ("--activation-bits", "3", "--activation-bits 3: must be"),
     ("--percentile", "0", "--percentile 0.0: must be"), ("--stationary-bits", "1", "--stationary-bits 1: must be")],
)  # fmt: skip
@pytest.mark.parametrize("command", ["evaluate", "search", "cosim"])
def test_bits_out_of_range_are_one_line_before_anything_starts(
    monkeypatch, capsys, command, option, value, named
) -> None:
    assert call(monkeypatch, command, option, value) == 2
    assert named in capsys.readouterr().err


def test_evaluate_reports_its_settings_and_what_is_clipped(monkeypatch, capsys, tmp_path) -> None:
    import numpy as np
    from PIL import Image

    for label in ("0", "1"):
        (tmp_path / label).mkdir()
        for number in range(3):
            pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / label / f"{number}.png")
    options = ("--method", "percentile", "--percentile", "99", "--weight-bits", "5")
    assert call(monkeypatch, "evaluate", "--images", str(tmp_path), "--json", *options) == 0
    document = json.loads(capsys.readouterr().out)
    wanted = {"method": "percentile", "percentile": 99, "weight_bits": 5, "stationary_bits": None}
    assert wanted.items() <= document["quantisation"].items()
    worst = document["clipped"][0]
    assert worst["values"] > 0.001 and worst["beyond"] > 1 and worst["layer"] and worst["operand"]
    assert document["warnings"]
