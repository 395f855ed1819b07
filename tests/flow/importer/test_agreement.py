"""Several forms of one cell must agree; a disagreement says how many pairs, in which quadrant, and which first."""

from pathlib import Path

import numpy as np
import pytest

from slipstick.errors import UserError
from slipstick.flow.importer import import_files
from slipstick.rtl.cells import cell
from slipstick.rtl.cells.errors import operand_values
from slipstick.rtl.parts.multiplier import Multiplier
from slipstick.rtl.verilog.emit import to_verilog


@pytest.fixture
def forms(tmp_path: Path):
    """Verilog and table files of a cell, the table changed by ``change``."""

    def forms(name: str, change=lambda table: None) -> list[Path]:
        verilog, table = tmp_path / f"{name}.v", tmp_path / f"{name}.npy"
        verilog.write_text(to_verilog(Multiplier(cell(name)), name))
        products = cell(name).table.copy()
        change(products)
        np.save(table, products)
        return [verilog, table]

    return forms


def test_forms_that_agree_give_the_gates_of_the_verilog(forms) -> None:
    for name in ("exact8s", "truncated8u_k6", "drum8s_k4", "mitchell8s"):
        one = cell(name)
        found = import_files(forms(one.name))
        assert len(found.cell.netlist.gates) <= len(one.netlist.gates)
        assert "agree on all 65,536 pairs" in " ".join(found.notes)


@pytest.mark.parametrize("a, w, quadrant", [
    (5, 9, "1 non-negative x non-negative"), (5, -9, "1 non-negative x negative"),
    (-5, 9, "1 negative x non-negative"), (-128, -128, "1 negative x negative"),
])  # fmt: skip
def test_a_single_wrong_product_is_found_and_shown(forms, a: int, w: int, quadrant: str) -> None:
    def change(table: np.ndarray) -> None:
        table[a, w] ^= 1

    right = int(cell("drum8s_k4").table[a, w])
    message = rf"differ on 1 of 65,536 pairs \({quadrant}; first: {a} x {w} is {right} and {right ^ 1}\)"
    with pytest.raises(UserError, match=message):
        import_files(forms("drum8s_k4", change))


def test_the_wrong_negative_quadrant_of_published_tables_is_reported_as_such(tmp_path: Path) -> None:
    """The defect of the widely used header mul8s_1L2H.h: a negative pair gets the product of its magnitudes.

    The circuit drops the lowest bit of both operands; 12,414 is the count published for its header.
    """
    verilog, table = tmp_path / "mul8s_1L2H.v", tmp_path / "mul8s_1L2H.npy"
    verilog.write_text("""module mul8s_1L2H(input signed [7:0] A, B, output signed [15:0] O);
        wire signed [7:0] a = {A[7:1], 1'b0}, b = {B[7:1], 1'b0};
        assign O = a * b;
    endmodule""")
    values = operand_values(8, True) & ~1
    products = np.outer(values, values)
    np.save(table, products)
    errors = import_files([verilog, table]).cell.errors
    assert (errors.wce, round(errors.mae, 1), errors.bias, round(100 * errors.ep, 2)) == (255, 53.3, 0.75, 74.61)
    magnitude = -np.arange(-128, 0)  # 128 has the bits of -128
    products[128:, 128:] = products[np.ix_(magnitude, magnitude)]
    np.save(table, products)
    message = r"differ on 12,414 of 65,536 pairs \(12,414 negative x negative; first: -128 x -127 is "
    with pytest.raises(UserError, match=message):
        import_files([verilog, table])


def test_an_unsigned_disagreement_has_no_quadrants(forms) -> None:
    def change(table: np.ndarray) -> None:
        table[255] = 0

    with pytest.raises(UserError, match=r"differ on 255 of 65,536 pairs \(first: 255 x 1 is 255 and 0; 255 x 2"):
        import_files(forms("exact8u", change))


def test_widths_that_the_verilog_contradicts_are_refused(forms) -> None:
    with pytest.raises(UserError, match="its operands are 8x8, not 8x4"):
        import_files(forms("truncated8s_k3")[:1], widths=(8, 4))


def test_forms_of_other_widths_or_signedness_are_refused(forms, tmp_path: Path) -> None:
    verilog, table = forms("exact8s")
    np.save(table, np.zeros((16, 16), int))
    with pytest.raises(UserError, match="not 256 x 256 products"):
        import_files([verilog, table])
    verilog.write_text("module exact8s(input [7:0] a, w, output [15:0] p); assign p = a * w; endmodule")
    np.save(table, cell("exact8s").table)
    with pytest.raises(UserError, match="differ on .* negative x negative"):
        import_files([verilog, table], signed=None)
