"""Verilog, structural and behavioural, becomes the netlist it describes."""

from pathlib import Path

import numpy as np
import pytest

from slipstick.errors import UserError
from slipstick.flow.importer import from_verilog
from slipstick.rtl.cells import Cell, Netlist, cell, cells
from slipstick.rtl.cells.columns import dadda_add, partial_products
from slipstick.rtl.parts.multiplier import Multiplier
from slipstick.rtl.verilog.emit import to_verilog


@pytest.fixture
def read(tmp_path: Path):
    def read(text: str, **options) -> Cell:
        path = tmp_path / "mul.v"
        path.write_text(text)
        return from_verilog(path, **options)

    return read


def module(ports: str, body: str, name: str = "m") -> str:
    return f"module {name}({ports});\n{body}\nendmodule\n"


UNSIGNED = "input [7:0] a, input [7:0] w, output [15:0] p"


@pytest.mark.parametrize("width_a, width_w", [(2, 2), (4, 4), (8, 8), (8, 4), (8, 2), (3, 7)])
@pytest.mark.parametrize("signed", [True, False])
def test_a_behavioural_product_is_exact(read, width_a: int, width_w: int, signed: bool) -> None:
    kind = "signed" if signed else ""
    ports = (f"input {kind} [{width_a - 1}:0] x, input {kind} [{width_w - 1}:0] y, "
             f"output {kind} [{width_a + width_w - 1}:0] z")  # fmt: skip
    found = read(module(ports, "assign z = x * y;"), signed=signed)
    np.testing.assert_array_equal(found.table, found.exact)
    assert (found.widths, found.signed, found.name) == ((width_a, width_w), signed, "m")


def test_shipped_cells_survive_the_way_through_verilog(read) -> None:
    families = {one.family: one for one in cells("*8[su]*")}
    for one in list(families.values())[::3]:
        back = read(to_verilog(Multiplier(one), f"mul_{one.name}"), signed=one.signed)
        np.testing.assert_array_equal(back.table, one.table)
        assert len(back.netlist.gates) <= len(one.netlist.gates)


def test_the_gates_of_a_structural_netlist_are_kept(read) -> None:
    back = read(to_verilog(Multiplier(cell("exact8s")), "m"))
    assert sorted(g for g, _, _ in back.netlist.gates) == sorted(g for g, _, _ in cell("exact8s").netlist.gates)


def test_the_netlist_does_not_depend_on_names(read) -> None:
    text = module(UNSIGNED, "wire [15:0] q = a * w; assign p = q & ~16'd3;")
    renamed = text.replace("q ", "zz ").replace("(a,", "(a,").replace("module m", "module other")
    assert read(text, signed=False).digest == read(renamed, signed=False).digest


def test_modules_parameters_loops_and_functions_are_read(read) -> None:
    text = """
    // a comment with $display and `include "nothing"
    module half(input x, y, output s, c); assign {c, s} = x + y; endmodule
    module top #(parameter N = 4) (input [N-1:0] a, b, output reg [2*N-1:0] o);
      function [2*N-1:0] scaled; input [N-1:0] v; input integer k; scaled = v << k; endfunction
      integer i;
      always @* begin
        o = 0;
        for (i = 0; i < N; i = i + 1) if (b[i]) o = o + scaled(a, i);
      end
    endmodule"""
    found = read(text, top="top", signed=False)
    assert found.widths == (4, 4) and found.errors.wce == 0


def test_a_case_table_is_read(read) -> None:
    lines = "".join(f"6'd{i}: p = {(i >> 3) * (i & 7)};" for i in range(64))
    found = read(
        module("input [2:0] a, w, output reg [5:0] p", f"always @* case ({{a, w}}) {lines} endcase"), signed=False
    )
    assert found.errors.wce == 0


def test_operands_go_by_letter_by_order_and_by_option(read) -> None:
    def product(first: str, second: str, **options) -> Cell:
        bits = {"a": 3, "x": 3, "b": 4, "y": 4}
        ports = f"output [6:0] p, input [{bits[first] - 1}:0] {first}, input [{bits[second] - 1}:0] {second}"
        return read(module(ports, f"assign p = {first} * {second};"), signed=False, **options)

    assert product("b", "a").widths == (3, 4)  # by letter
    assert product("x", "y").widths == (3, 4)
    assert product("b", "a", a="b").widths == product("b", "a", w="a").widths == (4, 3)
    words = "output [6:0] p, input [3:0] weight, input [2:0] act"
    assert read(module(words, "assign p = weight * act;"), signed=False).widths == (4, 3)  # by order
    assert read(module(words, "assign p = weight * act;"), signed=False, w="weight").widths == (3, 4)


def test_signedness_is_as_wanted_else_declared_else_as_it_fits(read) -> None:
    plain = module("input [3:0] a, w, output [7:0] p", "assign p = {{4{a[3]}}, a} * {{4{w[3]}}, w};")
    assert read(plain).signed and read(plain).errors.wce == 0
    assert not read(plain.replace("{{4{a[3]}}, a} * {{4{w[3]}}, w}", "a * w")).signed
    assert not read(plain, signed=False).signed
    declared = module("input signed [3:0] a, w, output [7:0] p", "assign p = 0;")
    assert read(declared).signed
    with pytest.raises(UserError, match="say which with --signed or --unsigned"):
        read(declared.replace("signed", ""))


def test_bit_order_of_the_ports_is_that_of_the_number(read) -> None:
    found = read(module("input [0:3] a, input [7:4] w, output [0:7] p", "assign p = a * w;"), signed=False)
    assert found.errors.wce == 0


def test_includes_beside_the_file_are_read(read, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "width.vh").write_text("`define W 4\n")
    (tmp_path / "all.vh").write_text('`include "sub/width.vh"\n')
    text = '`include "all.vh"\n' + module("input [`W-1:0] a, w, output [2*`W-1:0] p", "assign p = a * w;")
    assert read(text, signed=False).widths == (4, 4)


def test_hierarchy_that_asks_to_be_kept_is_flattened(read) -> None:
    inner = module("input [3:0] a, w, output [7:0] p", "assign p = a * w;", "inner")
    body = "(* keep_hierarchy *) inner u(a, w, p);"
    outer = module("input [3:0] a, w, output [7:0] p", body, "outer")
    assert read("(* keep_hierarchy *) " + inner + outer, signed=False).errors.wce == 0


def test_the_top_is_the_module_that_no_other_names(read) -> None:
    inner = module("input [3:0] a, w, output [7:0] p", "assign p = a * w;", "inner")
    outer = module("input [3:0] a, w, output [7:0] p", "inner u(a, w, p);", "outer")
    assert read(inner + outer, signed=False).name == read(outer + inner, signed=False).name == "outer"


def test_several_files_make_one_design(tmp_path: Path) -> None:
    (tmp_path / "a.v").write_text(module("input [3:0] a, w, output [7:0] p", "inner u(a, w, p);", "outer"))
    (tmp_path / "b.v").write_text(module("input [3:0] a, w, output [7:0] p", "assign p = a * w;", "inner"))
    found = from_verilog(tmp_path / "a.v", tmp_path / "b.v", top="outer", signed=False, name="own")
    assert found.errors.wce == 0 and found.name == "own"


def test_undefined_bits_that_never_reach_the_product_do_no_harm(read) -> None:
    body = "wire [15:0] q = a[0] ? 16'bx : a * w; assign p = a[0] ? a * w : q;"
    assert read(module(UNSIGNED, body), signed=False).errors.wce == 0


def test_an_unread_operand_and_a_constant_product_are_cells(read) -> None:
    found = read(module(UNSIGNED, "assign p = {a, 8'd128};"), signed=False)
    assert found.netlist.gates == () and found.table[3, 77] == 3 * 256 + 128


def test_a_wide_product_is_read_in_seconds(read) -> None:
    found = read(module("input [15:0] a, w, output [31:0] p", "assign p = a * w;"), signed=False)
    wanted = Netlist.trace(lambda a, w: dadda_add(partial_products(a, w, False)), (16, 16))
    a, w = np.random.default_rng(0).integers(0, 1 << 16, (2, 5000))
    np.testing.assert_array_equal(found.netlist.evaluate(a, w), wanted.evaluate(a, w))
