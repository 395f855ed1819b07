"""Accumulators are as wide as the sums of a layer and its biases need."""

import numpy as np
import pytest

from slipstick.errors import UserError
from slipstick.rtl.cells import cell
from slipstick.rtl.spec.array import ArrayConfig, CellMix
from slipstick.rtl.spec.depth import required_depth
from slipstick.rtl.spec.widths import signed_width


def test_depth_grows_with_the_tiles_and_with_the_bias() -> None:
    array = ArrayConfig(4, 1, CellMix.uniform(cell("exact8s"), rows=4, columns=1))
    for depth, bias in ((20, 0), (4, 10**7), (400, 0), (400, -(10**6))):
        found = required_depth(array, depth, np.array([bias]), (0,))
        reach = signed_width(-(-depth // 4) * 4 * 127 * -128 + min(bias, 0), -(-depth // 4) * 4 * 128**2 + max(bias, 0))
        assert array.accumulator_width(0, found) >= reach
        assert found == max(1, -(-depth // 4) // 2) or array.accumulator_width(0, found - 1) < reach
    with pytest.raises(UserError, match="does not fit 32-bit accumulators"):
        required_depth(array, 4, np.array([2**31 - 1]), (0,))
