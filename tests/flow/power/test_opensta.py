"""The reference check: OpenSTA on the same mapped netlists. It skips where OpenSTA is absent."""

from pathlib import Path

import pytest

from slipstick.flow.library.boolean import PIN, parse
from slipstick.flow.library.liberty import load_liberty
from slipstick.flow.power.cell_power import CellGroup, Rule
from slipstick.flow.power.gates import MappedNetlist
from slipstick.flow.power.netlist_verilog import netlist_verilog
from slipstick.flow.power.timing import analyse
from slipstick.rtl.cells.registry import registered
from tests.flow.power.opensta import CLOCK_PS, LIBRARIES, longest_path_ps, mapped, needs_opensta, powers
from tests.flow.power.opensta_2019 import DENSITY, DUTY, compare, uniform

HANDFUL = ("exact_booth8s", "truncated_magnitude8s_k5_c2", "evolved8s_b60_mae75", "drum8s_k4", "mitchell8s")
libraries = pytest.mark.parametrize("path", LIBRARIES, ids=lambda path: path.name.split(".")[0])


@needs_opensta
@pytest.mark.parametrize("kind", ["multiplier", "element"])
@libraries
def test_the_longest_path_is_that_of_opensta_to_a_thousandth_of_a_picosecond(path, kind, tmp_path):
    liberty = load_liberty(path)
    netlist = mapped(liberty, kind)
    reference = longest_path_ps(netlist, liberty, CLOCK_PS, tmp_path)
    assert analyse(netlist).delay_ps == pytest.approx(reference, abs=1e-3)


@needs_opensta
@pytest.mark.parametrize("duty", [0.3, 0.5])
@pytest.mark.parametrize("name", HANDFUL)
@libraries
def test_total_power_is_that_of_opensta_2019_and_so_is_every_gate(path, name, duty, tmp_path):
    check(mapped(load_liberty(path), "multiplier", name), tmp_path, duty)


@needs_opensta
@libraries
def test_total_power_with_flip_flops_is_that_of_opensta_2019(path, tmp_path):
    check(mapped(load_liberty(path), "element"), tmp_path)


@needs_opensta
@pytest.mark.slow
@libraries
def test_total_power_of_an_array_is_that_of_opensta_2019(path, tmp_path):
    check(mapped(load_liberty(path), "array"), tmp_path)


@needs_opensta
@pytest.mark.slow
@libraries
def test_total_power_of_a_cell_of_every_family_is_that_of_opensta_2019(path, tmp_path):
    liberty = load_liberty(path)
    for one in {one.family: one for one in registered() if one.signed and one.widths == (8, 8)}.values():
        check(mapped(liberty, "multiplier", one.name), tmp_path)


def check(netlist: MappedNetlist, folder: Path, duty: float = DUTY) -> None:
    """Totals within 1e-4, as the project promises; every share of every gate as far as OpenSTA's floats reach."""
    found = compare(netlist, CLOCK_PS, folder, duty)
    assert found.worst < 1e-5, f"{netlist.liberty.name}: {found.gate}"
    assert found.difference < 1e-4


@needs_opensta
@libraries
def test_our_own_rule_has_the_leakage_and_the_energy_of_buffers_of_opensta(path, tmp_path):
    """What 2.0.17 shares with later versions, which ``Rule.INDEPENDENT`` follows.

    Its internal energy of a transition adds rise and fall, where later versions take their mean.
    """
    netlist = mapped(load_liberty(path), "multiplier")
    reference = powers(netlist, CLOCK_PS, DENSITY, 0.5, tmp_path)
    timing, activity = analyse(netlist), uniform(netlist, DENSITY, 0.5)
    leakage = leakage_wanted = 0.0
    buffers = 0
    for name, gate in zip(netlist_verilog(netlist).instances, netlist.gates, strict=True):
        energy = CellGroup([gate], timing, Rule.INDEPENDENT).energy(activity, CLOCK_PS)
        leakage, leakage_wanted = leakage + energy.leakage_fj, leakage_wanted + reference[name].leakage_fj
        if len(gate.cell.inputs) == 1 and parse(gate.cell.outputs[0].function).kind == PIN:
            buffers += 1
            assert 2 * energy.internal_fj == pytest.approx(reference[name].internal_fj, rel=1e-6)
    assert leakage == pytest.approx(leakage_wanted, rel=1e-4)
    assert buffers
