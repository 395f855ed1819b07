import numpy as np
import pytest

from slipstick.flow.cost.element import Element
from slipstick.flow.cost.modules import ELEMENT, MULTIPLIER, element_verilog, multiplier_verilog, operator_verilog
from slipstick.flow.library.liberty import default_liberty, load_liberty
from slipstick.flow.power.activity import simulate
from slipstick.flow.power.gates import MappedNetlist, check_against_table
from slipstick.flow.power.power import PowerModel
from slipstick.flow.power.synth import Design, synthesise, synthesise_all
from slipstick.rtl.cells import cell, names
from slipstick.rtl.emit import to_verilog
from slipstick.rtl.pe import ProcessingElement
from slipstick.rtl.spec.streams import TileStream

CLOCK_PS = 10_000.0
FEW = ("exact8s", "truncated8s_k4", "truncated8s_k8", "drum8s_k4", "mitchell8s", "truncated8u_k6_on_magnitudes")


def synthesised(found):
    """Multipliers by name, mapped two at a time."""
    designs = (Design(name, multiplier_verilog(cell(name)), MULTIPLIER) for name in found)
    return synthesise_all(designs, default_liberty(), clock_ps=CLOCK_PS, total=len(found))


@pytest.fixture(scope="module")
def mapped():
    return synthesised(FEW)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("pattern", ["*8s*", "*8u*"])
def test_mapped_gates_of_every_registered_cell_equal_its_table(pattern):
    found = [name for name in names(pattern) if cell(name).widths == (8, 8)]
    assert len(found) > 150
    for name, result in synthesised(found).items():
        assert check_against_table(MappedNetlist.build(result, default_liberty()), cell(name)) == 0, name


def test_mapped_gates_around_an_unsigned_cell_equal_its_table(mapped):
    name = "truncated8u_k6_on_magnitudes"
    assert check_against_table(MappedNetlist.build(mapped[name], default_liberty()), cell(name)) == 0


def test_a_wrong_table_is_noticed(mapped):
    netlist = MappedNetlist.build(mapped["exact8s"], default_liberty())
    assert check_against_table(netlist, cell("truncated8s_k1")) > 0


def test_constant_operands_cost_no_dynamic_energy(mapped):
    netlist = MappedNetlist.build(mapped["exact8s"], default_liberty())
    words = {"a": np.full(300, -77), "w": np.full(300, 55)}
    energy = PowerModel(netlist, clock_ps=CLOCK_PS).report(simulate(netlist, words)).total
    assert (energy.internal_fj, energy.switching_fj) == (0, 0) and energy.leakage_fj > 0


def test_random_words_leave_the_right_product_on_every_vector(mapped):
    netlist = MappedNetlist.build(mapped["drum8s_k4"], default_liberty())
    a, w = np.random.default_rng(0).integers(-128, 128, (2, 777))
    product = simulate(netlist, {"a": a, "w": w}).values("product", signed=True)
    assert (product == cell("drum8s_k4").table[a & 255, w & 255]).all()


def test_more_truncation_costs_less(mapped):
    rng = np.random.default_rng(0)
    words = {"a": rng.integers(-128, 128, 2000), "w": rng.integers(-128, 128, 2000)}
    energies = []
    for name in ("exact8s", "truncated8s_k4", "truncated8s_k8"):
        netlist = MappedNetlist.build(mapped[name], default_liberty())
        energies.append(PowerModel(netlist, clock_ps=CLOCK_PS).report(simulate(netlist, words)).total.total_fj)
    assert energies == sorted(energies, reverse=True)


def test_the_slim_library_gives_the_power_of_the_full_one(mapped, full_liberty_path):
    rng = np.random.default_rng(0)
    words = {"a": rng.integers(-128, 128, 2000), "w": rng.integers(-128, 128, 2000)}
    totals = []
    for liberty in (default_liberty(), load_liberty(full_liberty_path)):
        netlist = MappedNetlist.build(mapped["exact8s"], liberty)
        totals.append(PowerModel(netlist, clock_ps=CLOCK_PS).report(simulate(netlist, words)).total)
    assert totals[0] == pytest.approx(totals[1], rel=1e-3)


def test_verilogs_own_operator_takes_the_place_of_the_gates():
    text = operator_verilog(cell("exact8s"))
    for booth in (False, True):
        result = synthesise(text, MULTIPLIER, default_liberty(), clock_ps=CLOCK_PS, booth=booth)
        assert check_against_table(MappedNetlist.build(result, default_liberty()), cell("exact8s")) == 0


@pytest.mark.parametrize("file", ["gscl45nm.lib.gz", "sky130hd_tt.lib.gz"])
def test_any_library_works(full_liberty_path, file):
    """Full adders as one cell, swapped tables, flip-flops with enable: what the shipped library lacks."""
    liberty = load_liberty(full_liberty_path.with_name(file))
    one = cell("exact8s")
    texts = {MULTIPLIER: multiplier_verilog(one), ELEMENT: element_verilog(one, 20)}
    alone, whole = (synthesise(text, top, liberty, clock_ps=CLOCK_PS) for top, text in texts.items())
    element = Element(one.name, one, 20, alone, whole, liberty, CLOCK_PS)
    element.check()
    rng = np.random.default_rng(0)
    tile = TileStream(
        "x", rng.integers(-99, 99, (40, 8)).astype(np.int8), rng.integers(-99, 99, (8, 8)).astype(np.int8)
    )
    energy = element.energy([tile], samples=1024)  # compares the element's sums too
    # While weights load, they pass the activation lanes too, against weights on their way: busier than work.
    assert energy.idle.total_fj < energy.pe_fj < energy.load.total_fj


def test_own_timing_agrees_with_abc(mapped):
    for name in ("exact8s", "mitchell8s"):
        model = PowerModel(MappedNetlist.build(mapped[name], default_liberty()), clock_ps=CLOCK_PS)
        assert model.timing.delay_ps == pytest.approx(mapped[name].delay_ps, rel=0.05)


@pytest.mark.parametrize("name", ["exact8s", "mitchell8s", "evolved8s_mae20"])
def test_an_element_reads_as_the_generator_writes_it(name):
    assert element_verilog(cell(name), 20) == to_verilog(ProcessingElement(cell(name), 20), ELEMENT)
