"""What a library says wrongly, strangely or not at all: refused, left out or told, and never taken silently."""

import re
import warnings

import pytest

from slipstick.errors import Notice, UserError
from slipstick.flow.library import liberty as module
from slipstick.flow.library.liberty import load_liberty, parse_liberty, read_text
from slipstick.flow.library.slim import slim
from slipstick.flow.power.gates import MappedNetlist
from slipstick.flow.power.synth import Synthesis, synthesise
from slipstick.flow.power.timing import analyse

ARC = 'function : "!(A B)"; timing () { related_pin : "A"; timing_sense : negative_unate; cell_rise (nldm) {'
CONDITIONS = "nom_voltage : 2.0; default_operating_conditions : oc; operating_conditions (oc) { voltage : %s; }"
NAND = "area : 2.5; cell_leakage_power : 7;"
BROKEN = {
    "no area": (NAND, "cell_leakage_power : 7;", "has no area"),
    "area of a word": (NAND, "area : big;", "'big', which is not a number"),
    "area below 0": (NAND, "area : -1;", "has an area of -1"),
    "area of 0": (NAND, "area : 0;", "has an area of 0"),
    "area that is no number": (NAND, "area : nan;", "'nan', which is not a number"),
    "endless leakage": (NAND, "area : 2.5; cell_leakage_power : inf;", "'inf', which is not a number"),
    "leakage without a value": (NAND, NAND + ' leakage_power () { when : "A"; }', "leakage_power group has no value"),
    "leakage that is no number": (NAND, NAND + ' leakage_power () { value : "nan"; }', "'nan', which is not a number"),
    "leakage of an unknown pin": (
        NAND, NAND + ' leakage_power () { value : 1; when : "A & X"; }',
        "leakage_power: when 'A & X' names 'X', which is no pin of the cell",
    ),
    "leakage of no expression": (NAND, NAND + ' leakage_power () { value : 1; when : "A &"; }', "ends too early"),
    "a capacitance below 0": ("pin (B) { direction : input; capacitance : 0.003;",
                              "pin (B) { direction : input; capacitance : -0.003;", "pin B: has capacitance -0.003"),
    "a capacitance that is no number": ("pin (B) { direction : input; capacitance : 0.003;",
                                        "pin (B) { direction : input; capacitance : 3f;", "pin 'B' has capacitance"),
    "an edge's capacitance below 0": ("pin (B) { direction : input;",
                                      "pin (B) { direction : input; rise_capacitance : -1;", "has rise_capacitance -1"),
    "a range that falls": ("pin (B) { direction : input;",
                           "pin (B) { direction : input; fall_capacitance_range (2, 1);", "not two capacitances"),
    "a range of one": ("pin (B) { direction : input;",
                       "pin (B) { direction : input; rise_capacitance_range (2);", "not two capacitances"),
    "no direction": ("pin (B) { direction : input;", "pin (B) {", "pin B: has no direction"),
    "an unknown direction": ("pin (B) { direction : input;", "pin (B) { direction : in;", "direction 'in' is none"),
    "a hidden power's unknown pin": ('when : "!A & B"; \n      rise', 'when : "!A & Q"; \n      rise', "names 'Q'"),
    "an unknown pin in a function": ('"!(A B)"', '"!(A X)"', "pin Y: function '!(A X)' names 'X'"),
    "a function that is none": ('"!(A B)"', '"!(A B"', "lacks a closing bracket"),
    "tables of no numbers": (ARC, f"{ARC} values (\"nan, 1\");", "cell_rise: 'nan'"),
    "an axis that does not rise": (ARC, f'{ARC} index_1 ("0, 0");', "index_1 of cell_rise does not rise: 0, 0"),
    "an unknown related pin": ('function : "!(A B)"; timing () { related_pin : "A"',
                               'function : "!(A B)"; timing () { related_pin : "Z"', "related_pin 'Z' is no pin"),
    "a cell that stands twice": ("cell (DFF)", "cell (NAND) { area : 1; }\n cell (DFF)", "stands twice"),
}  # fmt: skip


def changed(text, old, new):
    assert old in text, old
    return text.replace(old, new, 1)


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch):
    monkeypatch.setattr(module, "_told", set())


def told(text, **options):
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        liberty = parse_liberty(text, **options)
    return liberty, [str(one.message) for one in record if issubclass(one.category, Notice)]


@pytest.mark.parametrize("how", BROKEN)
def test_a_cell_that_cannot_be_used_is_left_out_and_named(toy_text, how):
    old, new, problem = BROKEN[how]
    text = re.sub(r"\n +rise", "\n      rise", toy_text()).replace('"!A & B";\n', '"!A & B"; \n')
    liberty, notices = told(changed(text, old, new))
    ((name, reason),) = liberty.left_out
    assert name == "NAND" and problem in reason
    assert any(f"1 cells are left out: NAND ({reason})" in one for one in notices)
    kept = set(parse_liberty(toy_text()).cells)
    assert set(liberty.cells) == (kept if how == "a cell that stands twice" else kept - {"NAND"})
    assert parse_liberty(liberty.text).cells == liberty.cells and not parse_liberty(liberty.text).left_out


def test_slimming_drops_what_cannot_be_used(toy_text):
    odd = toy_text().replace('"0.1, 0.2"', '"fast, 0.2"', 1)  # of BUF1
    assert set(parse_liberty(slim(odd)).cells) == set(parse_liberty(toy_text()).cells) - {"BUF1"}
    assert "BUF1" not in slim(odd)


def test_the_gates_that_are_left_serve_and_none_that_is_left_out_is_mapped(toy_text):
    nor = re.search(r"cell \(NAND\).*?(?=\n  cell \(DFF\))", toy_text(), re.S)[0]
    nor = nor.replace("NAND", "NOR").replace("!(A B)", "!(A + B)").replace("area : 2.5;", "area : 9;")
    text = toy_text().replace("cell (DFF)", f"{nor}\n  cell (DFF)").replace("area : 2.5;", "")
    liberty = parse_liberty(text)
    assert "NAND" in dict(liberty.left_out)
    mapped = synthesise("module t(input a, b, output y); assign y = a & b; endmodule", "t", liberty, clock_ps=1000)
    assert set(mapped.cells_by_type) <= {"NOR", "INV", "BUF1", "BUF2"}
    MappedNetlist.build(mapped, liberty)


def test_what_mapping_needs_and_lost_is_said(toy_text):
    liberty = parse_liberty(toy_text().replace("area : 2.5;", ""))
    with pytest.raises(UserError, match=r"lacks an inverter or a gate of two inputs.*\(1 cells are left out"):
        synthesise("module t(input a, output y); assign y = a; endmodule", "t", liberty, clock_ps=1000)


def test_a_library_without_delays_is_said_before_mapping(toy_text):
    liberty = parse_liberty(toy_text().replace("timing ()", "ignored ()"))
    with pytest.raises(UserError, match="library toy has no delay tables"):
        synthesise("module t(input a, output y); assign y = a; endmodule", "t", liberty, clock_ps=1000)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("nom_voltage : 2.0;", "nom_voltage : 0;", "a supply of 0 V is not above 0"),
        ("nom_voltage : 2.0;", "nom_voltage : -1.2;", "a supply of -1.2 V is not above 0"),
        ("nom_voltage : 2.0;", "nom_voltage : nan;", "'nan', which is not a number"),
        ("nom_voltage : 2.0;", CONDITIONS % 0, "a supply of 0 V"),
        ('time_unit : "1ns";', 'time_unit : "0ns";', "time_unit '0ns' is not a unit"),
        ('time_unit : "1ns";', 'time_unit : "-1ns";', "time_unit '-1ns' is not a unit"),
        ('time_unit : "1ns";', 'time_unit : "nanns";', "time_unit 'nanns' is not a unit"),
        ('time_unit : "1ns";', 'time_unit : "1pf";', "time_unit '1pf' is not a unit"),
        ("capacitive_load_unit (1,pf)", "capacitive_load_unit (1,oz)", "capacitive_load_unit '1oz' is not a unit"),
        ("capacitive_load_unit (1,pf)", "capacitive_load_unit (inf,pf)", "'infpf' is not a unit"),
        ('voltage_unit : "1V";', 'voltage_unit : "V V";', "voltage_unit 'VV' is not a unit"),
        ("nom_voltage : 2.0;", "default_cell_leakage_power : none;", "'none', which is not a number"),
    ],
)  # fmt: skip
def test_what_all_cells_share_must_be_right(toy_text, old, new, problem):
    with pytest.raises(UserError, match=re.escape(problem)):
        parse_liberty(changed(toy_text(), old, new))


@pytest.mark.parametrize(
    ("old", "new", "factor"),
    [
        ("capacitive_load_unit (1,pf)", 'capacitive_load_unit ("1", "pf")', 1),
        ("capacitive_load_unit (1,pf)", "capacitive_load_unit (1000, ff)", 1),
        ("capacitive_load_unit (1,pf)", "capacitive_load_unit (0.001 , nF)", 1),
        ("capacitive_load_unit (1,pf)", "capacitive_load_unit (10,fF)", 0.01),
    ],
)
def test_units_with_factors(toy_text, old, new, factor):
    found = parse_liberty(changed(toy_text(), old, new)).cell("INV").pins["A"].capacitance_rise_ff
    assert found == pytest.approx(3.0 * factor)


@pytest.mark.parametrize(
    ("unit", "leakage"), [("1nW", 5), ("10pW", 0.05), ("1uW", 5e3), ("1 nW", 5), ("1µW", 5e3), ("1W", 5e9)]
)
def test_units_of_leakage(toy_text, unit, leakage):
    text = changed(toy_text(), 'leakage_power_unit : "1nW"', f'leakage_power_unit : "{unit}"')
    assert parse_liberty(text).cell("INV").leakage_nw == pytest.approx(leakage)


@pytest.mark.parametrize(
    ("old", "new", "notice"),
    [
        ('leakage_power_unit : "1nW";', "", "states no leakage_power_unit (1nW): those in brackets are taken"),
        ('time_unit : "1ns";', "", "states no time_unit (1ns)"),
        ("nom_voltage : 2.0;", "", "states no voltage: 1 V is taken"),
        ("nom_voltage : 2.0;", "nom_voltage : 2; slew_derate_from_library : 0.5;", "has slew_derate_from_library 0.5"),
        ("nom_voltage : 2.0;", "k_volt_cell_rise : 0.1; " + CONDITIONS % 1.8, "(k_volt_...) are not applied"),
        ("area : 2.5;", 'area : 2.5; leakage_power () { value : 2; when : "B"; }', "takes the first of leakage states"),
        ('internal_power () { when : "!A & B";', 'internal_power () { mode (a, b); when : "!A & B";', "has mode of"),
        ("pin (B) { direction : input; capacitance : 0.003;", "pin (B) { direction : input;", "without a capacitance"),
    ],
)  # fmt: skip
def test_what_is_taken_for_granted_is_told_once(toy_text, old, new, notice):
    text = changed(toy_text(), old, new)
    liberty, notices = told(text)
    assert sum(notice in one for one in notices) == 1 and any(notice in one for one in liberty.warnings)
    assert told(text)[1] == []  # a second reading is silent


@pytest.mark.parametrize("zero", ["", "default_cell_leakage_power : 0;"])
def test_no_leakage_data_at_all_is_told(toy_text, zero):
    text = re.sub(r"cell_leakage_power : \d;|leakage_power \(\) \{.*?\}", "", toy_text())
    liberty, notices = told(text.replace("nom_voltage", f"{zero} nom_voltage"))
    assert notices == ["Liberty text: library toy has no leakage data: its leakage counts as 0"]
    assert all(cell.leakage_nw == 0 for cell in liberty.cells.values())


def test_default_leakage_is_data_by_cell_or_by_area(toy_text):
    for default, leakage in (("default_cell_leakage_power : 4;", 4), ("default_leakage_power_density : 2;", 2 * 9)):
        liberty, notices = told(toy_text().replace("nom_voltage", f"{default} nom_voltage"))
        assert liberty.cell("DFF").leakage_nw == leakage and not notices
        assert liberty.cell("INV").leakage_nw == 5


RANGE = "rise_capacitance_range (0.002, 0.006); fall_capacitance_range (0.002, 0.009);"


def test_loads_are_the_upper_ends_of_capacitance_ranges(toy_text):
    """As a current OpenSTA takes them for the longest path; without a range the capacitance itself."""
    text = changed(toy_text(), "capacitance : 0.003;", f"capacitance : 0.003; {RANGE}")  # of BUF1, the first cell
    for liberty in (parse_liberty(text), parse_liberty(slim(text))):
        loads = {name: liberty.cell(name).pins["A"] for name in ("BUF1", "BUF2")}
        assert (loads["BUF1"].capacitance_rise_ff, loads["BUF1"].capacitance_fall_ff) == pytest.approx((6, 9))
        assert (loads["BUF2"].capacitance_rise_ff, loads["BUF2"].capacitance_fall_ff) == pytest.approx((3, 3))


def test_the_longest_path_goes_by_the_upper_ends(toy_text):
    cells = {"i": ["INV", {"A": [2], "Y": [3]}], "j": ["INV", {"A": [3], "Y": [4]}]}
    ports = {"a": ["input", [2]], "y": ["output", [4]]}
    text = toy_text().replace("capacitance : 0.003;", f"capacitance : 0.003; {RANGE}")
    liberty = parse_liberty(text)
    mapped = Synthesis("t", 0.0, 0.0, None, {}, {"ports": ports, "cells": cells, "nets": {}}, "")
    timing = analyse(MappedNetlist.build(mapped, liberty), input_slew_ps=0.0, output_load_ff=0.0)
    # Delay and slew are 100 ps + 2 x slew + 10 ps a fF; a fall of the first inverter drives 9 fF.
    first = 100 + 10 * 9
    assert timing.delay_ps == pytest.approx(first + 100 + 2 * first)


def test_slimming_keeps_ranges_only_where_they_change_a_load(toy_text):
    same = "rise_capacitance_range (0.001, 0.003); fall_capacitance_range (0.002, 0.0030);"
    for extra, kept in ((same, False), (RANGE, True)):
        text = toy_text().replace("capacitance : 0.003;", f"capacitance : 0.003; {extra}")
        assert ("capacitance_range" in slim(text)) is kept
        assert parse_liberty(slim(text)).cells == parse_liberty(text).cells


BUS = """library (m) { time_unit : "1ns"; voltage_unit : "1V"; capacitive_load_unit (1, pf); leakage_power_unit : "1nW";
 nom_voltage : 1; bus_naming_style : "%s[%d]";
 type (down) { base_type : array; data_type : bit; bit_width : 3; bit_from : 2; bit_to : 0; downto : true; }
 cell (RAM) { area : 9; cell_leakage_power : 1; pin (CLK) { direction : input; capacitance : 0.01; clock : true; }
  bus (A) { bus_type : down; direction : input; capacitance : 0.002; pin (A[1]) { capacitance : 0.004; }
   pin (A[2:0]) { } }
  bus (Q) { bus_type : down; direction : output; timing () { related_pin : "CLK A"; timing_type : rising_edge;
    cell_rise (scalar) { values ("1"); } } }
  bundle (P) { members (X, Y); direction : input; capacitance : 0.001; }
 } }"""


def test_buses_and_bundles_are_their_members():
    cell = parse_liberty(BUS.replace("pin (A[2:0]) { }", "")).cell("RAM")
    assert set(cell.pins) == {"CLK", *(f"{bus}[{bit}]" for bus in "AQ" for bit in range(3)), "X", "Y"}
    assert [cell.pins[f"A[{bit}]"].capacitance_rise_ff for bit in range(3)] == pytest.approx([2, 4, 2])
    assert [arc.related_pin for arc in cell.pins["Q[1]"].timing] == ["CLK", "A[2]", "A[1]", "A[0]"]
    assert cell.pins["X"].capacitance_rise_ff == pytest.approx(1)


def test_latches_and_clock_gates_are_known(shared):
    liberty = load_liberty(shared / "liberty" / "sg13g2_stdcell_typ_1p20V_25C.lib.gz")
    latch = liberty.cell("sg13g2_dlhq_1").latch
    assert (latch.state, latch.enable, latch.data_in, latch.clear) == ("IQ", "GATE", "D", None)
    gate, scan = liberty.cell("sg13g2_lgcp_1"), liberty.cell("sg13g2_slgcp_1")
    assert (gate.clock_gate, scan.clock_gate) == ("latch_posedge", "latch_posedge_precontrol")
    assert (gate.latch.enable, gate.latch.data_in) == ("!CLK", "GATE")
    assert scan.latch.data_in == "GATE | SCE" and gate.pins["GCLK"].function == "CLK & (int_GATE)"


def test_a_macro_is_read_whole(shared):
    path = sorted((shared / "liberty" / "sram").glob("*1P_1024x64*"))[0]
    (cell,) = parse_liberty(read_text(path), path.name).cells.values()
    assert len([name for name in cell.pins if name.startswith("A_DIN[")]) == 64
    energies = {arc.when: arc.rise.at(0, 0) for arc in cell.pins["A_CLK"].internal if arc.when}
    assert cell.area_um2 == pytest.approx(263946, rel=1e-3) and max(energies.values()) == pytest.approx(
        118.1e3, rel=0.01
    )


def test_no_internal_power_at_all_is_told(toy_text):
    text = toy_text().replace("internal_power", "other_power")
    _, notices = told(text)
    assert "Liberty text: library toy has no internal power: it counts as 0" in notices
