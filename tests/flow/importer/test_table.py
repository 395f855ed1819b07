"""Tables of products as arrays, .npy, .csv and C headers become cells of exactly these products."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipstick.errors import UserError
from slipstick.flow.importer import decision, from_table, import_files
from slipstick.rtl.cells import Netlist, cell


def header(table: np.ndarray, flat: bool = False) -> str:
    rows = ["{" + ", ".join(map(str, row)) + "}" for row in table.tolist()]
    body = ",\n".join(row.strip("{}") if flat else row for row in rows)
    size = f"[{table.size}]" if flat else f"[{len(table)}][{table.shape[1]}]"
    return f"#include <stdint.h>\n/* a = b; */\nconst int16_t lut{size} = {{{body}}}; // {{1, 2}}\n"


@pytest.mark.parametrize("name", ["exact8s", "truncated8u_k6", "drum8s_k3", "mitchell8s"])
def test_the_table_of_a_shipped_cell_gets_its_gates(name: str) -> None:
    known = cell(name)
    found = from_table(known.table, signed=known.signed)
    assert found.netlist == known.netlist and found.family == "imported"


def test_a_table_with_a_few_changed_products_keeps_the_gates_and_corrects_them() -> None:
    table = cell("truncated8s_k4").table.copy()
    table[3, 5] += 1
    table[200, 77] -= 64
    found = from_table(table)
    np.testing.assert_array_equal(found.table, table)
    assert len(found.netlist.gates) < len(cell("truncated8s_k4").netlist.gates) + 80


def test_any_table_is_computed_exactly() -> None:
    table = np.random.default_rng(0).integers(-(1 << 15), 1 << 15, (256, 256))
    np.testing.assert_array_equal(from_table(table).table, table)


@settings(max_examples=40)
@given(st.integers(2, 4), st.integers(2, 4), st.integers(0, 2**32 - 1), st.data())
def test_a_diagram_computes_its_bits_under_every_order(width_a: int, width_w: int, seed: int, data) -> None:
    widths = (width_a, width_w)
    bits = np.random.default_rng(seed).integers(0, 1 << sum(widths), (1 << width_a, 1 << width_w)).astype(np.uint32)
    variables = [(operand, bit) for operand, width in enumerate(widths) for bit in range(width)]
    order = data.draw(st.permutations(variables))
    netlist = decision.to_netlist(decision.build(bits, widths, order), widths)
    a, w = (index.ravel() for index in np.indices(bits.shape))
    np.testing.assert_array_equal(netlist.evaluate(a, w), bits.ravel())


def test_diagrams_share_equal_and_complementary_functions() -> None:
    a = np.arange(4)[:, None] & np.ones((1, 4), np.int64)  # bit 0 of operand a
    bits = (a | ((a ^ 1) << 1) | (a << 2)).astype(np.uint32)
    netlist, diagram = decision.synthesise(bits, (2, 2))
    assert diagram.size == 1
    assert netlist == Netlist.trace(lambda a, w: [a[0], ~a[0], a[0], 0], (2, 2))


@pytest.mark.parametrize("shape", [(16, 16), (16, 4), (4, 64)])
def test_files_in_every_format_hold_the_same_cell(shape: tuple[int, int], tmp_path: Path) -> None:
    table = np.random.default_rng(1).integers(-8, 8, shape)
    np.save(tmp_path / "a.npy", table)
    np.save(tmp_path / "float.npy", table.astype(np.float32))
    np.savetxt(tmp_path / "a.csv", table, "%d", ", ")
    (tmp_path / "a.h").write_text(header(table))
    (tmp_path / "hex.h").write_text(header(table).replace("7,", "0x7U,"))
    cells = [from_table(path) for path in sorted(tmp_path.iterdir())]
    assert len({one.digest for one in cells}) == 1
    np.testing.assert_array_equal(cells[0].table, table)
    flat = tmp_path / "flat.h"
    flat.write_text(header(table, flat=True))
    widths = tuple(side.bit_length() - 1 for side in shape)
    assert from_table(flat, widths=widths).digest == cells[0].digest


def test_a_table_by_value_starts_with_the_lowest_operand(tmp_path: Path) -> None:
    by_bits = cell("drum8s_k4").table
    by_value = np.roll(by_bits, 128, (0, 1))
    assert by_value[0, 0] == by_bits[128, 128]
    np.testing.assert_array_equal(from_table(by_value, index="value").table, by_bits)
    assert from_table(by_value).errors.mae > 1000
    unsigned = cell("drum8u_k4").table
    np.testing.assert_array_equal(from_table(unsigned, index="value", signed=False).table, unsigned)


GOOD = np.outer(np.arange(16), np.arange(16))
BAD = {
    "not square": (GOOD[:, :15], "is 16 x 15; a table of products has 2\\^wa rows"),
    "three dimensions": (GOOD.reshape(4, 4, 16), "is 4 x 4 x 16"),
    "too small": (GOOD[:1, :1], "is 1 x 1"),
    "a flat table of odd size": (GOOD.ravel()[:200], "is 200, not"),
    "fractions": (GOOD + 0.5, "no whole numbers"),
    "not a number": (np.where(GOOD == 3, np.nan, GOOD), "no whole numbers"),
    "words": (np.full((16, 16), "1"), "no whole numbers"),
    "too large": (np.where(GOOD == 225, 256, GOOD), r"\[15\]\[15\] is 256, outside 0 to 255"),
    "negative and too large": (np.where(GOOD == 225, -1, GOOD), "is [0-9]+, outside -128 to 127"),
}  # fmt: skip


@pytest.mark.parametrize("table, message", BAD.values(), ids=BAD)
def test_a_wrong_table_is_refused_in_one_line(table: np.ndarray, message: str, tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", table)
    with pytest.raises(UserError, match=message) as caught:
        from_table(tmp_path / "t.npy")
    assert "\n" not in str(caught.value) and "t.npy" in str(caught.value)


def test_negative_products_of_an_unsigned_cell_are_refused() -> None:
    with pytest.raises(UserError, match="negative products, -1 among them, of an unsigned cell"):
        from_table(np.where(GOOD == 225, -1, GOOD), signed=False)


def test_pickles_and_damaged_files_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "pickle.npy", np.array([[{}]], object), allow_pickle=True)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "pickle.npy").read_bytes()[:20])
    (tmp_path / "none.npy").write_bytes(b"")
    (tmp_path / "text.npy").write_text("1, 2")
    for path in tmp_path.iterdir():
        with pytest.raises(UserError, match=f"cannot read .*{path.name}"):
            from_table(path)


@pytest.mark.parametrize("ending, text, message", [
    ("csv", "1,2\n3,x\n", "row 2 is not whole numbers"), ("csv", "1,2\n3\n", "row 2 has 1 numbers, the first has 2"),
    ("csv", "", "a table of products"), ("csv", "1.5,2\n3,4", "row 1 is not"), ("csv", f"1,{10**20}", "64 bits"),
    ("h", "int x;", "has no arrays of numbers"), ("h", "int a[2]={1,2}; int b[2]={1,2};", "has 2 arrays"),
    ("h", "int t[2][2] = {{1, 2}, {3, system(1)}};", r"t\[1\] holds 'system\(1\)', which is no whole number"),
    ("h", "int t[2][2] = {{1, 2}, {3, 08}};", "no whole number"), ("h", "int t[2][2] = {{1, 2}, {3}};", "differ in"),
])  # fmt: skip
def test_a_damaged_text_is_refused_in_one_line(ending: str, text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / f"t.{ending}"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        from_table(path)


@given(st.data())
def test_a_mutated_header_is_a_table_or_one_line(data: st.DataObject) -> None:
    text = header(np.outer(np.arange(4), np.arange(4)), flat=data.draw(st.booleans()))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        piece = data.draw(
            st.sampled_from(["", "{", "}", ";", "=", "[", "/*", "*/", "9" * 30, "-", "x", "0x", ",", "0", "\n"])
        )
        text = text[:start] + piece + text[start + data.draw(st.integers(0, 3)) :]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.h"
        path.write_text(text)
        try:
            assert from_table(path, signed=False).signed is False
        except UserError as error:
            assert "\n" not in str(error)


def test_wide_tables_are_refused() -> None:
    with pytest.raises(UserError, match="gates can be made from up to 20 together: give the Verilog too"):
        from_table(np.outer(np.arange(1 << 11), np.arange(1 << 10)), signed=False)


def test_the_note_says_that_power_is_not_that_of_the_circuit(tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", cell("drum8s_k4").table)
    notes = " ".join(import_files([tmp_path / "t.npy"]).notes)
    assert "it equals cell 'drum8s_k4'" in notes and "their power is not that of the circuit" in notes
