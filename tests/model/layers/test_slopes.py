"""Slopes of tables and their separable terms, against the definitions that they come from."""

import numpy as np
import pytest

from slipstick.errors import UserError
from slipstick.model.layers.slopes import GradientConfig, slope_factors, slope_table
from slipstick.rtl.cells import cell

pytestmark = pytest.mark.usefixtures("one_thread")


CELLS = ("exact8s", "drum8s_k3", "recursive8s", "truncated8s_k8", "broken_array8s_h4_v8", "mitchell8s")


@pytest.mark.parametrize("operand", ["activation", "stationary"])
@pytest.mark.parametrize("half_window", [0, 1, 4, 30, 127])
def test_slopes_of_an_exact_table_are_the_other_operand_everywhere(operand: str, half_window: int) -> None:
    other = np.arange(256, dtype=np.uint8).view(np.int8).astype(float)
    wanted = np.broadcast_to(other, (256, 256))
    np.testing.assert_allclose(
        slope_table(cell("exact8s"), operand, half_window), wanted if operand == "activation" else wanted.T, atol=1e-12
    )
    assert slope_factors(cell("exact8s"), operand, GradientConfig(half_window=half_window)).rank == 1


@pytest.mark.parametrize("name", CELLS)
def test_slopes_are_those_of_the_moving_average_inside_the_range(name: str) -> None:
    half = 4
    by_value = np.roll(cell(name).table, 128, axis=0).astype(float)
    smooth = np.stack([by_value[i - half : i + half + 1].mean(0) for i in range(half, 256 - half)])
    wanted = (smooth[2:] - smooth[:-2]) / 2
    slopes = np.roll(slope_table(cell(name), "activation", half), 128, axis=0)
    np.testing.assert_allclose(slopes[half + 1 : 256 - half - 1], wanted, atol=1e-9)


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("operand", ["activation", "stationary"])
def test_separable_terms_keep_the_stated_tolerance_or_the_stated_rank(name: str, operand: str) -> None:
    half = 4
    slopes = slope_table(cell(name), operand, half)
    for tolerance, cap in ((0.02, 256), (0.2, 256), (0.0, 2)):
        factors = slope_factors(
            cell(name), operand, GradientConfig(half_window=half, tolerance=tolerance, max_rank=cap)
        )
        off = np.linalg.norm(factors.left.numpy().T @ factors.right.numpy() - slopes) / np.linalg.norm(slopes)
        assert factors.rank <= cap and off == pytest.approx(factors.error, abs=1e-5)
        assert factors.rank == cap or off <= tolerance + 1e-5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "magic"}, "unknown gradient 'magic'; choose one of straight_through, clipped, table_difference"),
        ({"half_window": 200}, "gradient half_window 200: must be from 0 to 127"),
        ({"tolerance": 2.0}, "gradient tolerance 2.0: must be at least 0 and below 1"),
        ({"max_rank": 0}, "gradient max_rank 0: must be from 1"),
    ],
)
def test_bad_settings_are_refused(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        GradientConfig(**options)
