"""Only the reached hierarchy of Verilog matters, in whatever spelling; options say what the text leaves open."""

from pathlib import Path

import numpy as np
import pytest

from slipstick.errors import UserError
from slipstick.flow.importer import Elaboration, from_c, from_verilog, import_files
from slipstick.flow.library.liberty import DEFAULT_LIBERTY

PRODUCT = "module m(input [3:0] a, input [3:0] w, output [7:0] p);\n  assign p = a * w;\nendmodule"
BENCH = """
module bench;
  reg [3:0] a, w; wire [7:0] p;
  m dut (.a(a), .w(w), .p(p));
  initial begin a = 3; w = 5; #10 $display("%d", p); $readmemh("x", a); $finish; end
endmodule
"""
ACCEPTED = {
    "a label at the end": (PRODUCT + " : m\n", {}),
    "a port named like the module": (PRODUCT.replace("module m", "module p"), {}),
    "a port of another module named like this": (
        PRODUCT + "\nmodule other(input m, output q); assign q = m; endmodule", {"top": "m"}),
    "a bench that is not reached": (PRODUCT + "\n" + BENCH, {}),
    "a bench before it, with attributes and labels": (
        '(* keep, name = "x*)" *) ' + BENCH.strip() + " : bench\n" + PRODUCT + " : m", {"top": "m"}),
    "a bench of foreign syntax": (PRODUCT + "\nmodule bench; class c; endclass fork join_any endmodule\n", {}),
    "tasks where a macro is not defined": (
        PRODUCT.replace("endmodule", "`ifdef SIM\ninitial $display(a);\n`include \"no.vh\"\n`endif\nendmodule"), {}),
    "tasks where a macro is defined": (
        PRODUCT.replace("endmodule", "`ifndef SYNTHESIS\n$finish;\n`elsif X\n$x\n`else\n`endif\nendmodule"), {}),
    "nested conditions": (
        PRODUCT.replace("endmodule", "`ifdef A\n`ifdef YOSYS\n$a\n`else\n$b\n`endif\n`else\n`endif\nendmodule"), {}),
    "a macro of a task that nobody uses": ("`define LOG(x) $display(x)\n" + PRODUCT, {}),
    "a macro defined in a bench that is not reached": (
        "module bench; `define W 4\ninitial $finish; endmodule\n" + PRODUCT.replace("3:0", "`W-1:0"), {"top": "m"}),
    "a byte order mark": ("\ufeff" + PRODUCT, {}),
    "lines ended by two characters": (("`define F(x) \\\n x\n" + PRODUCT).replace("\n", "\r\n"), {}),
    "SystemVerilog in a file .v": (PRODUCT.replace("input [3:0] a", "input logic [3:0] a"), {}),
    "modules with a lifetime": (PRODUCT.replace("module m", "module automatic m"), {"suffix": ".sv"}),
    "a package": ("package k; localparam W = 4; endpackage : k\n"
                  + PRODUCT.replace("3:0", "k::W-1:0"), {"suffix": ".SV"}),
    "an upper case ending": (PRODUCT, {"suffix": ".V"}), "a header": (PRODUCT, {"suffix": ".vh"}),
    "a parameter": (PRODUCT.replace("module m(", "module m #(parameter W = 2)(").replace("3:0", "W-1:0")
                    .replace("7:0", "2*W-1:0"), {"elaboration": Elaboration(parameters=("W=4",))}),
    "a macro": (PRODUCT.replace("3:0", "`W-1:0"), {"elaboration": Elaboration(defines=("W=4",))}),
    "a macro that switches": (
        "`ifdef FAST\n" + PRODUCT + "\n`else\n$x\n`endif", {"elaboration": Elaboration(defines=("FAST",))}),
    "an enable": (PRODUCT.replace("a * w", "en ? a * w : 8'd0").replace("output", "input en, output"),
                  {"elaboration": Elaboration(ties=("en=1",))}),
    "an output more": (PRODUCT.replace("output [7:0] p", "output [7:0] p, output z")
                       .replace("endmodule", "assign z = ~|p;\nendmodule"), {"product": "p"}),
}  # fmt: skip


@pytest.mark.parametrize("text, options", ACCEPTED.values(), ids=ACCEPTED)
def test_what_does_not_concern_the_cell_is_no_hindrance(text: str, options: dict, tmp_path: Path) -> None:
    options = dict(options)
    path = tmp_path / f"mul{options.pop('suffix', '.v')}"
    path.write_bytes(text.encode())
    found = from_verilog(path, signed=False, name="x", **options)
    np.testing.assert_array_equal(found.table, np.multiply.outer(np.arange(16), np.arange(16)))


REFUSED = {
    "a task in what is reached": (
        PRODUCT.replace("endmodule", "n u();\nendmodule") + "\nmodule n();\ninitial $finish;\nendmodule",
        {"top": "m"}, r"mul.v:6: system task '\$finish'"),
    "a task by a macro": ("`define D $finish\n" + PRODUCT.replace("endmodule", "initial `D;\nendmodule"), {},
                          "mul.v:4: system task"),
    "a condition without end": ("`ifdef X\n" + PRODUCT, {"top": "m"}, "`ifdef has no `endif"),
    "an end without condition": (PRODUCT + "\n`endif", {}, "mul.v:4: `endif without an `ifdef"),
    "a clock": (PRODUCT.replace("input [3:0] a", "input clk, input [3:0] a"), {}, "'clk' looks like a clock: "),
    "an enable": (PRODUCT.replace("input [3:0] a", "input en, input [3:0] a"), {}, "as in --tie en=1"),
    "outputs": (PRODUCT.replace("output", "output z, output"), {}, "as in --product p"),
    "a narrow product": (PRODUCT.replace("7:0", "6:0"), {}, r"assign p = \{\{1\{q\[6\]\}\}, q\} for a signed q"),
    "a wide product": (PRODUCT.replace("7:0", "8:0"), {}, r"assign p = q\[7:0\], and choose that with --top"),
    "a tie of no input": (PRODUCT, {"elaboration": Elaboration(ties=("p=1",))}, "--tie 'p' is no input"),
    "a tie too large": (PRODUCT, {"elaboration": Elaboration(ties=("a=16",))}, "--tie a=16: a has 4 bits"),
    "a parameter that is none": (PRODUCT, {"elaboration": Elaboration(parameters=("Q=1",))}, "Yosys says: .*Q"),
    "cells of a library": (PRODUCT.replace("assign p = a * w;", "AND2X1 u(a, w, p);"), {}, "Liberty file with --lib"),
}  # fmt: skip


@pytest.mark.parametrize("text, options, message", REFUSED.values(), ids=REFUSED)
def test_refusals_name_the_fix(text: str, options: dict, message: str, tmp_path: Path) -> None:
    (tmp_path / "mul.v").write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        from_verilog(tmp_path / "mul.v", signed=False, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("options", [{"parameters": ("W",)}, {"parameters": ("W=8; exec x",)}, {"defines": ("A B",)},
                                     {"ties": ("en=x",)}, {"includes": (Path("nowhere"),)}])  # fmt: skip
def test_options_that_are_none_are_refused(options: dict) -> None:
    with pytest.raises(UserError, match=r"give it as in --|no such folder"):
        Elaboration(**options)


def test_the_file_of_the_fault_is_named_and_folders_of_includes_are_searched(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "first.v").write_text(
        '`include "width.vh"\nmodule helper(input x, output y); assign y = x; endmodule\n'
    )
    (tmp_path / "second.v").write_text(PRODUCT.replace("3:0", "`W-1:0").replace("output", "input clk, output"))
    (tmp_path / "other" / "width.vh").write_text("`define W 4\n")
    files = (tmp_path / "first.v", tmp_path / "second.v")
    with pytest.raises(UserError, match=r"first\.v:1: `include 'width\.vh': no such file .* by -I"):
        from_verilog(*files, top="m")
    with pytest.raises(UserError, match=r"second\.v: module 'm' must have two inputs"):
        from_verilog(*files, top="m", elaboration=Elaboration(includes=(tmp_path / "other",)))


def test_a_mapped_netlist_takes_its_functions_from_liberty(tmp_path: Path) -> None:
    names = (
        "sg13g2_and2_1 u{0} (.A(a[{1}]), .B(w[{2}]), .X(x[{0}]));\n",
        "sg13g2_xor2_1 v (.A(x[1]), .B(x[2]), .X(p[1]));\n",
    )
    gates = "".join(names[0].format(2 * i + j, i, j) for i in range(2) for j in range(2)) + names[1]
    gates += "sg13g2_and2_1 c (.A(x[1]), .B(x[2]), .X(k));\nsg13g2_xor2_1 s (.A(x[3]), .B(k), .X(p[2]));\n"
    gates += "sg13g2_and2_1 t (.A(x[3]), .B(k), .X(p[3]));\nassign p[0] = x[0];\n"
    text = f"module m(input [1:0] a, input [1:0] w, output [3:0] p);\nwire [3:0] x; wire k;\n{gates}endmodule\n"
    (tmp_path / "m.v").write_text(text)
    with pytest.raises(UserError, match="sg13g2_.* its Liberty file with --liberty"):
        from_verilog(tmp_path / "m.v", signed=False)
    found = from_verilog(tmp_path / "m.v", signed=False, elaboration=Elaboration(liberty=(DEFAULT_LIBERTY,)))
    np.testing.assert_array_equal(found.table, np.multiply.outer(np.arange(4), np.arange(4)))


def test_c_finds_headers_beside_it_and_in_given_folders_and_takes_macros(tmp_path: Path) -> None:
    (tmp_path / "inc").mkdir()
    (tmp_path / "beside.h").write_text("typedef signed char num;\n")
    (tmp_path / "inc" / "far.h").write_text("#define TIMES *\n")
    (tmp_path / "mul.c").write_bytes(
        b'\xef\xbb\xbf#include "beside.h"\r\n#include "far.h"\r\nint f(signed char a, signed char b) '
        b"{ return a TIMES b + EXTRA; }\r\n"
    )
    how = Elaboration(defines=("EXTRA=0",), includes=(tmp_path / "inc",))
    found = import_files([tmp_path / "mul.c"], function="f", allow_run_c=True, elaboration=how).cell
    assert found.errors.wce == 0 and found.signed
    with pytest.raises(UserError, match="the compiler refuses"):
        from_c(tmp_path / "mul.c", "f", allow_run=True)
