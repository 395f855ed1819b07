"""The shape that costs are computed from; that of the shipped network is checked in tests/flow/reuse."""

import pytest

from slipstick.errors import UserError
from slipstick.flow.reuse.shape import vit_shape
from slipstick.model.data import shipped
from slipstick.model.evaluate import input_batches
from slipstick.model.weightless.mlp import WeightlessConfig
from slipstick.model.weightless.replace import weightless_
from slipstick.model.zoo import load_model


def test_weightless_mlps_are_refused() -> None:
    loaded = load_model()
    weightless_(
        loaded.module, [2], WeightlessConfig(luts=(192,)), input_batches(loaded, shipped("calibration")[:8]), None
    )
    with pytest.raises(UserError, match="a weightless one, has no cost model"):
        vit_shape(loaded)
