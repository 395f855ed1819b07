"""The shipped evolved cells under the operands that they were evolved for: bounds kept, families beaten."""

import json

import numpy as np
import pytest

from slipstick.flow.characterise.measure import multiplier_cost, weighted_errors
from slipstick.flow.characterise.operands import Operands
from slipstick.flow.characterise.recorded import shipped_operands
from slipstick.flow.library.liberty import default_liberty
from slipstick.rtl.cells import cell, cells
from slipstick.rtl.cells.evolved import ASSET

RIVALS = (
    "exact_magnitude8s", "compressor_strollo_magnitude8s_k10", "recursive8s_x3", "truncated_magnitude8s_k3",
    "truncated_magnitude8s_k4_c2", "truncated_magnitude8s_k5_c2", "broken_array_magnitude8s_h1_v4",
    "truncated_magnitude8s_k6_c2", "truncated_magnitude8s_k6_c2_o1", "truncated_magnitude8s_k7_c2",
    "truncated_magnitude8s_k7_c2_o1", "truncated_magnitude8s_k8_c2", "truncated_magnitude8s_k8_c2_o1",
    "truncated_magnitude8s_k9_c2", "truncated_magnitude8s_k9_c2_o1", "truncated_magnitude8s_k10_c2_o1",
)  # fmt: skip
"""The families' front of energy against weighted MAE."""
SLACK = 1.02  # operands recorded on another CPU differ in a few codes
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shipped() -> Operands:
    return shipped_operands()


def test_weighted_errors_keep_the_bounds_of_the_names(shipped: Operands) -> None:
    runs = json.loads(ASSET.read_text())["runs"]
    assert len({(run["settings"]["bias"], run["settings"]["wce_factor"]) for run in runs}) == 1
    settings = runs[0]["settings"]
    for own in cells("evolved*"):
        bound, errors = int(own.name.rpartition("_mae")[2]), weighted_errors(own, shipped)
        assert errors.mae <= SLACK * bound and abs(errors.bias) <= SLACK * settings["bias"] * bound
        error = np.abs(own.table - own.exact)
        assert errors.mae == pytest.approx(shipped.mean(error))


def test_no_family_member_is_as_cheap_at_no_more_error(shipped: Operands) -> None:
    liberty = default_liberty()
    rivals = [
        (weighted_errors(one, shipped).mae, multiplier_cost(one, shipped, liberty, clock_mhz=100).energy_fj)
        for one in map(cell, RIVALS)
    ]
    for own in cells("evolved8s_mae*"):
        mae = weighted_errors(own, shipped).mae
        energy = multiplier_cost(own, shipped, liberty, clock_mhz=100).energy_fj
        assert energy < min(fj for error, fj in rivals if error <= mae)
