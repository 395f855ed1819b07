"""The reference check: OpenSTA on the same mapped netlists. It skips where OpenSTA is absent."""

from types import SimpleNamespace

import numpy as np
import pytest

from slipstick.flow.library.boolean import PIN, parse
from slipstick.flow.library.liberty import load_liberty
from slipstick.flow.power.cell_power import CellGroup, Rule
from slipstick.flow.power.netlist_verilog import netlist_verilog
from slipstick.flow.power.power import PowerModel
from slipstick.flow.power.timing import analyse
from tests.flow.power.opensta import (
    CLOCK_PS,
    LIBRARIES,
    longest_path_ps,
    mapped,
    needs_opensta,
    powers,
    switching_fj,
)


@needs_opensta
@pytest.mark.parametrize("kind", ["multiplier", "element"])
@pytest.mark.parametrize("path", LIBRARIES, ids=lambda path: path.name.split(".")[0])
def test_the_longest_path_is_that_of_opensta_to_a_thousandth_of_a_picosecond(path, kind, tmp_path):
    liberty = load_liberty(path)
    netlist = mapped(liberty, kind)
    reference = longest_path_ps(netlist, liberty, CLOCK_PS, tmp_path)
    assert analyse(netlist).delay_ps == pytest.approx(reference, abs=1e-3)


@needs_opensta
@pytest.mark.parametrize("path", LIBRARIES, ids=lambda path: path.name.split(".")[0])
def test_leakage_switching_and_the_energy_tables_of_buffers_are_those_of_opensta(path, tmp_path):
    """What 2.0.17 shares with later versions; its rule for gates of several inputs was replaced since.

    Its internal energy of a transition adds rise and fall, where later versions take their mean.
    """
    liberty, density = load_liberty(path), 0.2
    netlist = mapped(liberty, "multiplier")
    reference = powers(netlist, liberty, CLOCK_PS, density, tmp_path)
    model = PowerModel(netlist, clock_ps=CLOCK_PS, rule=Rule.INDEPENDENT)
    even = SimpleNamespace(
        netlist=netlist, density=np.full(netlist.net_count, density), probability=np.full(netlist.net_count, 0.5)
    )
    ours = switching_fj(netlist, density)
    leakage = leakage_wanted = 0.0
    buffers = 0
    for name, gate in zip(netlist_verilog(netlist).instances, netlist.gates, strict=True):
        energy = CellGroup([gate], model.timing, Rule.INDEPENDENT).energy(even, CLOCK_PS)
        internal, switching, leaking = reference[name]
        assert ours[name] == pytest.approx(switching, rel=1e-6)
        leakage, leakage_wanted = leakage + energy.leakage_fj, leakage_wanted + leaking
        if len(gate.cell.inputs) == 1 and parse(gate.cell.outputs[0].function).kind == PIN:
            buffers += 1
            assert 2 * energy.internal_fj == pytest.approx(internal, rel=1e-6)
    assert leakage == pytest.approx(leakage_wanted, rel=1e-4)
    assert buffers
