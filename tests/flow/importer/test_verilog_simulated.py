"""Behavioural Verilog means the same to the importer as to Verilator, on all operand pairs."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from slipstick.flow.importer import from_verilog
from slipstick.sim.verilator import find_verilator

BODIES = {
    "wide_sum": "assign p = (a + w) * (a - w);",
    "signed_shift": "assign p = ($signed(a) >>> 2) * ($signed({w, 1'b0}) >>> 1);",
    "mixed_sign": "assign p = $signed(a) * w + (-a);",
    "loop": "integer i; reg [15:0] s; always @* begin s = 0; for (i = 1; i < 8; i = i + 2) if (w[i]) s = s + (a << i); "
            "end assign p = s;",
    "leading": "reg [3:0] k; always @* casez (a) 8'b1???????: k = 7; 8'b01??????: k = 6; 8'b001?????: k = 5; "
               "default: k = 0; endcase assign p = {12'd0, k} << w[3:0];",
    "called": "function [7:0] low; input [7:0] x; input integer n; low = x & ~((1 << n) - 1); endfunction "
                "assign p = low(a, 3) * low(w, 2);",
    "reduction": "assign p = {8{^a}} * w + {15'd0, &w} + {14'd0, |a, ~|w};",
    "selects": "assign p = {a[w[2:0]], a[7 -: 3], w[0 +: 4], {2{a[1:0]}}, w[7:4]};",
    "compare": "assign p = a < w ? a * a : a == w ? 16'hffff : $signed(a) > $signed(w) ? w : ~(w * w);",
    "division": "assign p = w == 0 ? 16'd0 : {a / (w | 8'd1), a % (w | 8'd1)};",
    "rows": "wire [15:0] s [0:8]; assign s[0] = 0; genvar g; generate for (g = 0; g < 8; g = g + 1) begin : row "
                "assign s[g + 1] = s[g] + (w[g] ? {8'd0, a} << g : 16'd0); end endgenerate assign p = s[8];",
}  # fmt: skip
PORTS = "(input [7:0] a, input [7:0] w, output [15:0] p)"


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """Product bits [256, 256] of every module, from one simulation of all of them side by side."""
    folder = tmp_path_factory.mktemp("simulated")
    modules = [f"module {name}{PORTS};\n{body}\nendmodule\n" for name, body in BODIES.items()]
    places = "".join(
        f"  {name} m{i} (pair[15:8], pair[7:0], products[{16 * i} +: 16]);\n" for i, name in enumerate(BODIES)
    )
    bench = (
        f"module bench;\n  reg [15:0] pair;\n  wire [{16 * len(BODIES) - 1}:0] products;\n  integer file, i;\n{places}"
        '  initial begin\n    file = $fopen("products.hex", "w");\n    for (i = 0; i < 65536; i = i + 1) begin\n'
        '      pair = i[15:0];\n      #1 $fwrite(file, "%h\\n", products);\n    end\n    $fclose(file);\n    $finish;\n'
        "  end\nendmodule\n"
    )
    (folder / "bench.v").write_text("\n".join([bench, *modules]))
    tool = find_verilator()
    command = [tool.executable, "--binary", "-Wno-fatal", "-Wno-lint", "--top-module", "bench", "-o", "bench"]
    for step in ([*command, "-Mdir", "built", "bench.v"], [folder / "built" / "bench"]):
        environment = {**os.environ, **dict(tool.environment)}
        subprocess.run(step, cwd=folder, env=environment, check=True, capture_output=True)
    words = bytes.fromhex((folder / "products.hex").read_text())
    columns = np.frombuffer(words, ">u2").reshape(65536, len(BODIES))[:, ::-1]
    return {name: columns[:, i].reshape(256, 256) for i, name in enumerate(BODIES)}


@pytest.mark.parametrize("name", BODIES)
def test_the_netlist_is_what_a_simulator_computes(name: str, simulated: dict[str, np.ndarray], tmp_path: Path) -> None:
    path = tmp_path / "mul.v"
    path.write_text(f"module {name}{PORTS};\n{BODIES[name]}\nendmodule\n")
    np.testing.assert_array_equal(from_verilog(path, signed=False).table, simulated[name])
