"""Accumulators are as wide as the sums of a layer and its biases need."""

import numpy as np
import pytest

from slipstick.errors import UserError
from slipstick.rtl.cells import cell
from slipstick.rtl.spec.array import ArrayConfig, CellMix
from slipstick.rtl.spec.depth import required_depth


def test_depth_grows_with_the_tiles_and_with_the_bias() -> None:
    array = ArrayConfig(4, 1, CellMix.uniform(cell("exact8s"), rows=4, columns=1))
    assert required_depth(array, 20, np.zeros(1, np.int32), (0,)) == 8
    assert required_depth(array, 4, np.array([10**7]), (0,)) == 64  # 25 bits
    with pytest.raises(UserError, match="does not fit 32-bit accumulators"):
        required_depth(array, 4, np.array([2**31 - 1]), (0,))
