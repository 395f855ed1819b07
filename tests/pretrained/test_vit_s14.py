"""Ranges chosen at the outputs keep a network whose activations stand out, where single methods do not."""

import copy
from dataclasses import replace

import pytest
import torch

from slipstick.model.convert import approximate_
from slipstick.model.data import shipped
from slipstick.model.evaluate import input_batches, logits
from slipstick.model.layers.config import QuantConfig
from tests.pretrained.vit_s14 import load

TESTED, CALIBRATING = 100, 64


def divergence(wanted: torch.Tensor, found: torch.Tensor) -> float:
    """Mean Kullback-Leibler divergence of two sets of logits [N, classes], nats."""
    before, after = wanted.log_softmax(-1), found.log_softmax(-1)
    return float((before.exp() * (before - after)).sum(-1).mean())


@pytest.mark.slow
@pytest.mark.parametrize("integer", [False, True])
def test_a_vit_with_massive_activations_keeps_its_answers(shared, integer: bool) -> None:
    loaded = load(shared)
    images, batches = shipped("test")[:TESTED], input_batches(loaded, shipped("calibration")[:CALIBRATING])
    wanted, float_module = logits(loaded, images), loaded.module
    found = {}
    for config in (QuantConfig(), QuantConfig("minmax"), QuantConfig("percentile")):
        module = copy.deepcopy(float_module)
        report = approximate_(module, {}, batches, config, integer=integer)
        found[config.method] = divergence(wanted, logits(replace(loaded, module=module), images))
        assert report.ranges and (config.method == "minmax" or report.warnings())
    assert found["output"] < 0.8 * min(found["minmax"], found["percentile"])
