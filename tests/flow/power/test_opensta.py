"""The reference check: OpenSTA on the same mapped netlists. It skips where OpenSTA is absent."""

import os
from pathlib import Path

import pytest

from slipstick.flow.cost.modules import ELEMENT, MULTIPLIER, element_verilog, multiplier_verilog
from slipstick.flow.library.liberty import DEFAULT_LIBERTY, load_liberty
from slipstick.flow.power.gates import MappedNetlist
from slipstick.flow.power.synth import synthesise
from slipstick.flow.power.timing import analyse
from slipstick.rtl.cells.registry import cell
from tests.flow.power.opensta import longest_path_ps, needs_opensta

CLOCK_PS = 10_000
SHARED = Path(__file__).parents[4] / "shared" / "data" / "liberty"
FOLDERS = [SHARED, *(Path(one) for one in os.environ.get("SLIPSTICK_LIBERTY", "").split(os.pathsep) if one)]
LIBRARIES = [DEFAULT_LIBERTY, *sorted(file for folder in FOLDERS for file in folder.glob("*.lib*"))]


@needs_opensta
@pytest.mark.parametrize("kind", ["multiplier", "element"])
@pytest.mark.parametrize("path", LIBRARIES, ids=lambda path: path.name.split(".")[0])
def test_the_longest_path_is_that_of_opensta_to_a_thousandth_of_a_picosecond(path, kind, tmp_path):
    liberty, one = load_liberty(path), cell("exact8s")
    text, top = (multiplier_verilog(one), MULTIPLIER) if kind == "multiplier" else (element_verilog(one, 20), ELEMENT)
    netlist = MappedNetlist.build(synthesise(text, top, liberty, clock_ps=CLOCK_PS), liberty)
    reference = longest_path_ps(netlist, liberty, CLOCK_PS, tmp_path)
    assert analyse(netlist).delay_ps == pytest.approx(reference, abs=1e-3)
