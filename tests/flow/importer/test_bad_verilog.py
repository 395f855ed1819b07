"""Verilog that is no multiplier, or that is hostile: one clear line, and nothing left behind."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slipstick.errors import UserError
from slipstick.flow.importer import from_verilog, verilog, verilog_lexer
from slipstick.rtl.cells import Cell

PORTS = "input [3:0] a, input [3:0] w, output [7:0] p"
REG = PORTS.replace("output", "output reg")


def module(body: str, ports: str = PORTS, name: str = "m") -> str:
    return f"module {name}({ports});\n{body}\nendmodule\n"


PRODUCT = module("assign p = a * w;")
BAD = {
    "three inputs": (module("assign p = a * w;", "input clk, " + PORTS), "two inputs and one output; it has input clk"),
    "one input": (module("assign p = a;", "input [3:0] a, output [7:0] p"), "two inputs and one output"),
    "two outputs": (module("assign p = a * w;", PORTS + ", output q"), "two inputs and one output"),
    "single bits": (module("assign p = a0 * w0;", "input a0, a1, w0, w1, output [3:0] p"), "two inputs and one output"),
    "an inout": (module("assign p = a * w;", PORTS.replace("output", "inout")), "two inputs and one output"),
    "no ports": ("module m; endmodule", "two inputs and one output; it has no ports"),
    "a narrow product": (module("assign p = a * w;", PORTS.replace("7:0", "6:0")), "product of 7 bits; operands of 4"),
    "a wide product": (module("assign p = a * w;", PORTS.replace("7:0", "8:0")), "product of 9 bits"),
    "wide operands": (module("assign p = a * w;", "input [16:0] a, w, output [33:0] p"), "cells have 2 to 16"),
    "a loop": (module("wire x = x ^ a[0]; assign p = {8{x}};"), "combinational loop"),
    "a loop through a sum": (module("wire [7:0] q; assign q = q + a * w; assign p = q;"), "combinational loop"),
    "a loop of modules": ("module n(input x, output y); assign y = ~x; endmodule\n"
                          + module("wire u, v; n n0(u, v); n n1(v, u); assign p = {8{u}};"), "combinational loop"),
    "a latch": (module("always @* if (a[0]) p = a * w;", REG), "a latch: give every output a value"),
    "a flip-flop": (module("always @(posedge a[0]) p <= a * w;", REG), "a flip-flop"),
    "a constant flip-flop": (module("always @(posedge a[0]) p <= 5;", REG), "a flip-flop"),
    "a memory": (module("reg [7:0] t[0:15]; always @* t[a] = w; assign p = t[w];"), "Yosys says|a memory|a latch"),
    "an unwritten memory": (module("reg [7:0] t[0:15]; assign p = t[w];"), "a memory"),
    "an unknown module": (module("FOO u(a, w, p);"), "FOO.* is not part of the design"),
    "a black box": ("(* blackbox *) module FOO(input [3:0] a, output [7:0] p); endmodule\n" + module("FOO u(a, p);"),
                    "a black box, 'FOO'"),
    "tri-state": (module("assign p = a[0] ? a * w : 8'bz;"), "bit 0 of the product is undefined .* for 128 of 256"),
    "an x": (module("assign p = w == 3 ? 8'b1x : a * w;"), "bit 0 of the product is undefined"),
    "an undriven bit": (module("assign p[6:0] = a * w;"), "bit 7 of the product is undefined"),
    "an undriven wire": (module("wire q; assign p = (a * w) ^ q;"), "undefined"),
    "two drivers": (module("assign p = a * w; assign p = a + w;"), "drives a net twice"),
    "two drivers of a bit": (module("assign p = a * w; assign p[0] = a[0];"), "drives a net twice"),
    "recursion": (module("m u(a, w, p);"), "recursive"),
    "an endless loop": (module("always @* begin p = 0; while (1) p = p + a; end", REG), "mul.v:2: Yosys says: While"),
    "a syntax error": (module("assign p = a *;"), "mul.v:2: Yosys says: syntax error, unexpected"),
    "no module": ("wire x;", "has no module"),
    "nothing": ("", "has no module"),
    "a binary": ("\0\1", "not a text file"),
    "an unknown task": (module("initial foo(a); assign p = a * w;"), "Yosys says"),
    "readmem": (module('reg [7:0] t[0:255]; initial $readmemh("x", t); assign p = 0;'), "system task .*readmemh"),
    "display": (module('initial $display("x"); assign p = a * w;'), "mul.v:2: system task '\\$display'"),
    "a task in a macro": ("`define D $finish\n" + module("initial `D; assign p = a * w;"), "system task '\\$finish'"),
    "a pasted task": ("`define D(x) `` x\n" + PRODUCT, "token pasting"),
    "a bare dollar": ("`define D(x) $``x\n" + PRODUCT, "token pasting"),
    "a foreign function": ('import "DPI-C" function int f(int x);\n' + PRODUCT, "foreign function"),
    "an include outside": ('`include "/etc/passwd"\n' + PRODUCT, "mul.v:1: `include '/etc/passwd' lies outside"),
    "an include above": ('`include "../x.vh"\n' + PRODUCT, "lies outside"),
    "an include through a macro": ('`define I `include\n`I "x.vh"\n' + PRODUCT, "`include needs a file name in quotes"),
    "a missing include": ('`include "x.vh"\n' + PRODUCT, "no such file beside mul.v"),
    "an include of itself": ('`include "mul.v"\n' + PRODUCT, "includes itself"),
    "an escaped module name": (PRODUCT.replace("module m(", "module \\m;!touch\\ x ("), "no plain identifier"),
    "a name from a macro": ("`define N m\n" + PRODUCT.replace("module m", "module `N"), "no plain identifier"),
}  # fmt: skip


@pytest.mark.parametrize("text, message", BAD.values(), ids=BAD)
def test_what_is_no_multiplier_is_refused_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mul.v"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        from_verilog(path, top="m" if "module m(" in text else None, signed=False)
    assert "\n" not in str(caught.value) and "mul.v" in str(caught.value)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("top", ["m;!touch x", "m\nexec", "$(touch x)", "", "m m", "\\m"])
def test_a_top_with_metacharacters_is_refused(top: str, tmp_path: Path) -> None:
    (tmp_path / "mul.v").write_text(PRODUCT)
    with pytest.raises(UserError, match="no plain identifier"):
        from_verilog(tmp_path / "mul.v", top=top)


def test_an_unknown_top_shows_near_names_and_several_modules_ask_for_one(tmp_path: Path) -> None:
    path = tmp_path / "mul.v"
    path.write_text(PRODUCT + module("assign p = 0;", name="mul8"))
    with pytest.raises(UserError, match="unknown module 'mul9'; near names: mul8"):
        from_verilog(path, top="mul9")
    with pytest.raises(UserError, match=r"several modules \(m, mul8\); choose with --top"):
        from_verilog(path)


def test_a_symbolic_link_does_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret.vh").write_text("`define W 4\n")
    (inside / "link.vh").symlink_to(tmp_path / "secret.vh")
    (inside / "mul.v").write_text('`include "link.vh"\n' + PRODUCT)
    with pytest.raises(UserError, match="lies outside"):
        from_verilog(inside / "mul.v")


def test_a_file_of_200_mb_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mul.v"
    with path.open("wb") as file:
        file.truncate(200 << 20)
    with pytest.raises(UserError, match="larger than 20 MB, the limit"):
        from_verilog(path)


def test_comments_and_strings_without_end_take_no_time(tmp_path: Path) -> None:
    path = tmp_path / "mul.v"
    for text in ("/* " * 400_000, '"' * 399_999, '\\" ' * 400_000, "`" * 400_001, "$ " * 10):
        path.write_text(text)
        with pytest.raises(UserError):
            from_verilog(path)


def test_a_missing_file_a_folder_and_an_unknown_ending_are_refused(tmp_path: Path) -> None:
    for path, message in (
        (tmp_path / "no.v", "not there"),
        (tmp_path, "its ending"),
        (tmp_path / "x.vhd", "its ending"),
    ):
        with pytest.raises(UserError, match=message):
            from_verilog(path)


def test_unrolling_without_end_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verilog, "TIMEOUT_S", 2)
    path = tmp_path / "mul.v"
    path.write_text(
        module("integer i; always @* begin p = 0; for (i = 0; i < 100000000; i = i + 1) p = p + a; end", REG)
    )
    with pytest.raises(UserError, match="too large or unrolls without end .* stopped after 2 s"):
        from_verilog(path)


def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verilog, "MEMORY_BYTES", 1 << 29)
    path = tmp_path / "mul.v"
    path.write_text(
        module("integer i; always @* begin p = 0; for (i = 0; i < 100000000; i = i + 1) p = p + a; end", REG)
    )
    with pytest.raises(UserError, match="no small cell: Yosys needs more than"):
        from_verilog(path)


@pytest.mark.parametrize("ports, message", [
    ({"a": "q"}, "--a 'q' is no such port"), ({"product": "a"}, "--product 'a' is no such port"),
    ({"a": "w", "w": "w"}, "--a and --w are both 'w'"),
])  # fmt: skip
def test_wrong_port_names_are_refused(ports: dict[str, str], message: str, tmp_path: Path) -> None:
    (tmp_path / "mul.v").write_text(PRODUCT)
    with pytest.raises(UserError, match=message):
        from_verilog(tmp_path / "mul.v", **ports)


STRUCTURAL = """module half(input x, input y, output s, output c); assign s = x ^ y; assign c = x & y; endmodule
module m(input [1:0] a, input [1:0] w, output [3:0] p);
  wire c1; // carry
  wire [1:0] t;
  assign p[0] = a[0] & w[0];
  half h0 (.x(a[1] & w[0]), .y(a[0] & w[1]), .s(p[1]), .c(c1));
  half h1 (.x(a[1] & w[1]), .y(c1), .s(p[2]), .c(p[3]));
endmodule
"""


@st.composite
def mutated(draw: st.DrawFn) -> str:
    text = STRUCTURAL
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["delete", "swap", "insert", "copy"]))
        if kind == "delete":
            start = draw(st.integers(0, len(text) - 1))
            text = text[:start] + text[start + draw(st.integers(1, 4)) :]
        elif kind == "swap":
            tokens = [match[0] for match in verilog_lexer._TOKEN.finditer(text)]
            i, j = draw(st.integers(0, len(tokens) - 1)), draw(st.integers(0, len(tokens) - 1))
            tokens[i], tokens[j] = tokens[j], tokens[i]
            text = "".join(tokens)
        elif kind == "insert":
            piece = draw(
                st.sampled_from([*"[](){}:;,.#'\"\\`$@~&|^+*<=?", "1'bx", "reg", "endmodule", "always @*", "é"])
            )
            start = draw(st.integers(0, len(text)))
            text = text[:start] + piece + text[start:]
        else:
            start, length = draw(st.integers(0, len(text) - 1)), draw(st.integers(1, 80))
            text = text[:start] + text[start : start + length] + text[start:]
    return text


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(mutated())
def test_broken_text_is_a_cell_or_one_line(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mul.v"
        path.write_text(text)
        try:
            found = from_verilog(path, top="m", signed=False)
        except UserError as error:
            assert "\n" not in str(error)
        else:
            assert isinstance(found, Cell) and found.table.shape == tuple(1 << width for width in found.widths)
        assert list(Path(folder).iterdir()) == [path]
