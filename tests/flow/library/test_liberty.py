import gzip
import time

import pytest

from slipstick.errors import UnknownName, UserError
from slipstick.flow.library.liberty import DEFAULT_LIBERTY, default_liberty, load_liberty, parse_liberty, read_text
from slipstick.flow.library.slim import PLAIN_GATE, slim, write_slim
from slipstick.flow.library.syntax import read, write
from slipstick.store import Store


def test_units_of_the_file_do_not_show(toy_text):
    in_pf, in_ff = parse_liberty(toy_text(units="pf")), parse_liberty(toy_text(units="ff"))
    for name, cell in in_pf.cells.items():
        other = in_ff.cells[name]
        for pin in cell.pins.values():
            assert pin.capacitance_rise_ff == pytest.approx(other.pins[pin.name].capacitance_rise_ff)
            for mine, theirs in zip(pin.internal, other.pins[pin.name].internal, strict=True):
                assert mine.rise.at(50, 5) == pytest.approx(theirs.rise.at(50, 5))
    assert in_pf.cell("INV").pins["A"].capacitance_rise_ff == pytest.approx(3.0)
    assert in_pf.voltage_v == 2.0


def test_the_template_decides_the_order_of_indices(toy_text):
    plain, swapped = parse_liberty(toy_text()), parse_liberty(toy_text(swapped=True))
    for liberty in (plain, swapped):
        arc = liberty.cell("INV").pins["Y"].timing[0]
        assert arc.delay_rise.at(100.0, 0.0) == pytest.approx(300)  # ps: the slow slew, no load
        assert arc.delay_rise.at(0.0, 10.0) == pytest.approx(200)
        assert arc.delay_rise.at(50.0, 5.0) == pytest.approx(250)


def test_tables_extrapolate_and_keep_negative_energies(toy_text):
    arc = parse_liberty(toy_text()).cell("INV").pins["Y"].internal[0]
    assert arc.rise.at(100.0, 10.0) == pytest.approx(-8)  # fJ
    assert arc.rise.at(0.0, 20.0) == pytest.approx(6)
    assert arc.rise.at(-100.0, 0.0) == pytest.approx(-2)


def test_flip_flop_and_its_pins(toy_text):
    cell = parse_liberty(toy_text()).cell("DFF")
    assert (cell.flop.state, cell.flop.inverse, cell.flop.clocked_on, cell.flop.next_state) == ("IQ", "IQN", "CK", "D")
    assert not cell.is_combinational and cell.pins["CK"].clock


def test_unknown_cell_shows_near_names(toy_text):
    with pytest.raises(UnknownName, match="NAND"):
        parse_liberty(toy_text()).cell("NAN2")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("module top(input a); endmodule", "line 1"),
        ("library (x) {\n  cell (INV) {\n", "cell .INV. is never closed"),
        ("", "no library group"),
        ("library (x) { time_unit : \"1ns\"; }", "holds no cells"),
        ('library (x) { time_unit : "1 fortnight"; cell (A) { area : 1; } }', "fortnight"),
        ("library (x) {\n  cell (A) { area : big; } }", "'big', which is not a number"),
        ("library (x) {\n ???\n}", "line 2"),
        (("library (x) { cell (A) { area : 1; pin (Y) { timing () { related_pin : \"A\"; cell_rise (none) "
         "{ values (\"1, 2\"); } } } } }"), "cell A, pin Y: cell_rise .none. has 2 values for 1 slews x 1 loads"),
        (("library (x) { cell (A) { area : 1; pin (Y) { timing () { related_pin : \"A\"; cell_rise (none) "
         "{ values (\"fast\"); } } } } }"), "cell A, pin Y: cell_rise: could not convert string to float: 'fast'"),
        ("library (x) { cell (A) { } }", "cell A: has no area"),
    ],
)  # fmt: skip
def test_a_bad_file_is_named_with_its_problem(tmp_path, text, problem):
    path = tmp_path / "broken.lib"
    path.write_text(text)
    with pytest.raises(UserError, match=problem):
        load_liberty(path)


def test_an_axis_that_does_not_rise_is_an_error(toy_text):
    assert 'index_1 ("0.0, 0.1")' in toy_text()
    with pytest.raises(UserError, match=r"cell BUF1, pin Y: index_1 of cell_rise does not rise: 0.1, 0"):
        parse_liberty(toy_text().replace('index_1 ("0.0, 0.1")', 'index_1 ("0.1, 0.0")'))


def test_leakage_that_is_stated_by_supply_is_summed_over_the_supplies(toy_text):
    """ASAP7 states every state twice, for VDD and for VSS."""
    stated = "leakage_power () { value : 1; when : "
    by_supply = "".join(
        f"leakage_power () {{ value : {value}; {when} related_pg_pin : {supply}; }}\n"
        for when, values in (('when : "A & B";', (3, 0.5)), ("", (8, 0.25)))
        for value, supply in zip(values, ("VDD", "VSS"), strict=True)
    )
    text = toy_text().replace("cell_leakage_power : 7;", by_supply)
    assert stated in text
    nand = parse_liberty(text).cells["NAND"]
    assert nand.leakage_nw == 8.25
    assert dict(nand.leakage_states) == {"A & B": 3.5, "!A & B": 1}


def test_a_file_that_is_missing_cut_or_no_text(tmp_path):
    with pytest.raises(UserError, match=r"absent\.lib"):
        load_liberty(tmp_path / "absent.lib")
    (tmp_path / "cut.lib.gz").write_bytes(DEFAULT_LIBERTY.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"cut\.lib\.gz"):
        load_liberty(tmp_path / "cut.lib.gz")
    (tmp_path / "binary.lib").write_bytes(bytes(range(128, 256)))
    with pytest.raises(UserError, match="holds no text"):
        load_liberty(tmp_path / "binary.lib")


def test_plain_and_gzip_are_the_same_library(tmp_path, toy_text):
    (tmp_path / "toy.lib").write_text(toy_text())
    (tmp_path / "toy.lib.gz").write_bytes(gzip.compress(toy_text().encode()))
    assert load_liberty(tmp_path / "toy.lib") == load_liberty(tmp_path / "toy.lib.gz")


def test_writing_a_tree_and_reading_it_again_changes_nothing(toy_text):
    tree = read(toy_text(), "toy")
    assert read(write(tree), "again") == tree


def test_the_parsed_model_comes_from_the_cache_unchanged(tmp_path):
    store, text = Store("liberty", tmp_path), read_text(DEFAULT_LIBERTY)
    start = time.perf_counter()
    fresh = parse_liberty(text, store=store)
    assert time.perf_counter() - start < 3  # well below a second on an idle machine
    assert len(list((tmp_path / "liberty").iterdir())) == 1
    assert parse_liberty(text, store=store) == fresh


def test_the_shipped_library():
    liberty = default_liberty()
    assert "1.2 V" in liberty.describe() and liberty.driving_cell == "sg13g2_buf_2"
    assert {"sg13g2_nand2_1", "sg13g2_xor2_1", "sg13g2_dfrbp_1"} <= set(liberty.cells)
    apart = {cell.name for cell in liberty.cells.values() if cell.is_latch or cell.dont_use}
    assert apart == {"sg13g2_lgcp_1"} and liberty.cell("sg13g2_lgcp_1").clock_gate == PLAIN_GATE
    assert "Copyright 2024 IHP PDK Authors" in liberty.text
    assert DEFAULT_LIBERTY.stat().st_size < 145_000


def test_slim_drops_what_mapping_does_not_use_and_is_stable(toy_text):
    once = slim(toy_text())
    assert set(parse_liberty(once).cells) == set(parse_liberty(toy_text()).cells)
    assert slim(once).split("*/")[-1] == once.split("*/")[-1]
    assert once.startswith("/* a toy */")


def test_the_shipped_library_is_the_slimmed_original(tmp_path, full_liberty_path):
    write_slim(read_text(full_liberty_path), tmp_path / "slim.lib.gz", str(full_liberty_path))
    assert (tmp_path / "slim.lib.gz").read_bytes() == DEFAULT_LIBERTY.read_bytes()
