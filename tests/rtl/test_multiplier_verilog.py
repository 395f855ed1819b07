"""Every registered cell: its emitted Verilog computes its table, on all operand pairs."""

import os
import re
import subprocess

import numpy as np
import pytest

from slipstick.rtl import cells
from slipstick.rtl.emit import to_verilog
from slipstick.rtl.multiplier import Multiplier
from slipstick.sim.verilator import find_verilator

pytestmark = pytest.mark.slow  # one Verilator build of every cell: 30 s when nothing is cached

NAMES = [cell.name for cell in cells.cells() if cell.widths == (8, 8) and cell.product_width == 16]


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """Products int [256, 256] of every cell, from one simulation of all emitted multipliers side by side."""
    folder = tmp_path_factory.mktemp("multipliers")
    places = "".join(
        f"  mul_{name} cell_{i} (.a(pair[15:8]), .w(pair[7:0]), .product(products[{16 * i} +: 16]));\n"
        for i, name in enumerate(NAMES)
    )
    bench = (
        f"module bench;\n  reg [15:0] pair;\n  wire [{16 * len(NAMES) - 1}:0] products;\n  integer file, i;\n{places}"
        '  initial begin\n    file = $fopen("products.hex", "w");\n    for (i = 0; i < 65536; i = i + 1) begin\n'
        '      pair = i[15:0];\n      #1 $fwrite(file, "%h\\n", products);\n    end\n    $fclose(file);\n    $finish;\n'
        "  end\nendmodule\n"
    )
    multipliers = [Multiplier(cells.cell(name)) for name in NAMES]
    texts = [to_verilog(multiplier, multiplier.module_name) for multiplier in multipliers]
    (folder / "bench.v").write_text("\n".join([bench, *texts]))
    tool = find_verilator()
    command = [tool.executable, "--binary", "-Wno-fatal", "-Wno-lint", "--top-module", "bench", "-o", "bench"]
    environment = {**os.environ, **dict(tool.environment), "MAKEFLAGS": "OPT_FAST=-O1"}
    for step in ([*command, "-Mdir", "built", "bench.v"], [folder / "built" / "bench"]):
        subprocess.run(step, cwd=folder, env=environment, check=True, capture_output=True)
    words = bytes.fromhex((folder / "products.hex").read_text())
    columns = np.frombuffer(words, ">u2").reshape(65536, len(NAMES))[:, ::-1]
    return {name: columns[:, i].reshape(256, 256) for i, name in enumerate(NAMES)}


@pytest.mark.parametrize("name", NAMES)
def test_emitted_verilog_is_the_table_on_all_pairs(name: str, products: dict[str, np.ndarray]) -> None:
    np.testing.assert_array_equal(products[name], cells.cell(name).table.astype(np.uint16))


def test_a_gate_is_one_named_wire_in_the_emitted_verilog() -> None:
    cell = cells.cell("exact8s")
    text = to_verilog(Multiplier(cell), "mul_exact8s")
    assert len(re.findall(r"assign n\d+ = ", text)) == len(cell.netlist.gates)
