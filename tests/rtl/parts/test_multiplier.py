"""Every registered cell: its emitted Verilog computes its table, on all operand pairs."""

import dataclasses
import os
import random
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from slipstick.rtl import cells
from slipstick.rtl.cells.cell import Cell
from slipstick.rtl.cells.netlist import AND, NOT, OR, XOR
from slipstick.rtl.parts.multiplier import Multiplier
from slipstick.rtl.verilog.emit import to_verilog
from slipstick.sim.verilator import find_verilator

pytestmark = pytest.mark.slow  # one Verilator build of every cell: 30 s when nothing is cached

NAMES = [cell.name for cell in cells.cells() if cell.widths == (8, 8) and cell.product_width == 16]
NAMES += [f"{name}_on_magnitudes" for name in ("exact8u", "truncated8u_k6", "drum8u_k4", "roba8u", "mitchell8u")]
MUTATED = ("exact8s", "exact_booth8s", "truncated8s_k6", "compressor_yang8s_k8", "drum8s_k4", "mitchell8s", "roba8u")
MUTANTS = 12  # of each


def simulated(some: list[Cell], folder: Path) -> list[np.ndarray]:
    """Product bits int [256, 256] of 8 x 8 cells, from one simulation of all emitted multipliers side by side."""
    multipliers = [Multiplier(cell) for cell in some]
    places = "".join(
        f"  {one.module_name} cell_{i} (.a(pair[15:8]), .w(pair[7:0]), .product(products[{16 * i} +: 16]));\n"
        for i, one in enumerate(multipliers)
    )
    bench = (
        f"module bench;\n  reg [15:0] pair;\n  wire [{16 * len(some) - 1}:0] products;\n  integer file, i;\n{places}"
        '  initial begin\n    file = $fopen("products.hex", "w");\n    for (i = 0; i < 65536; i = i + 1) begin\n'
        '      pair = i[15:0];\n      #1 $fwrite(file, "%h\\n", products);\n    end\n    $fclose(file);\n    $finish;\n'
        "  end\nendmodule\n"
    )
    texts = [to_verilog(multiplier, multiplier.module_name) for multiplier in multipliers]
    (folder / "bench.v").write_text("\n".join([bench, *texts]))
    tool = find_verilator()
    command = [tool.executable, "--binary", "-Wno-fatal", "-Wno-lint", "-j", "2", "--output-split", "10000"]
    command += ["--top-module", "bench", "-o", "bench"]
    environment = {**os.environ, **dict(tool.environment), "MAKEFLAGS": "OPT_FAST=-O1"}
    for step in ([*command, "-Mdir", "built", "bench.v"], [folder / "built" / "bench"]):
        subprocess.run(step, cwd=folder, env=environment, check=True, capture_output=True)
    words = bytes.fromhex((folder / "products.hex").read_text())
    columns = np.frombuffer(words, ">u2").reshape(65536, len(some))[:, ::-1]
    return [columns[:, i].reshape(256, 256) for i in range(len(some))]


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    every = [cells.cell(name) for name in NAMES]
    return dict(zip(NAMES, simulated(every, tmp_path_factory.mktemp("multipliers")), strict=True))


def mutants(cell: Cell, count: int) -> list[Cell]:
    """Cells with one gate changed to another kind each, drawn without repetition."""
    gates = cell.netlist.gates
    choices = [(place, kind) for place, (own, _, _) in enumerate(gates) for kind in (AND, OR, XOR)
               if own != NOT and kind != own]  # fmt: skip
    made = []
    for number, (place, kind) in enumerate(random.Random(7).sample(choices, count)):
        changed = (*gates[:place], (kind, *gates[place][1:]), *gates[place + 1 :])
        netlist = dataclasses.replace(cell.netlist, gates=changed)
        made.append(Cell(f"{cell.name}_mutant{number}", "mutant", cell.signed, netlist))
    return made


@pytest.mark.parametrize("name", NAMES)
def test_emitted_verilog_is_the_table_on_all_pairs(name: str, products: dict[str, np.ndarray]) -> None:
    np.testing.assert_array_equal(products[name], cells.cell(name).table.astype(np.uint16))


def test_every_changed_gate_that_matters_is_seen_in_the_verilog(tmp_path: Path) -> None:
    originals = [cells.cell(name) for name in MUTATED for _ in range(MUTANTS)]
    changed = [mutant for name in MUTATED for mutant in mutants(cells.cell(name), MUTANTS)]
    caught = 0
    for original, mutant, products in zip(originals, changed, simulated(changed, tmp_path), strict=True):
        np.testing.assert_array_equal(products, mutant.table.astype(np.uint16))
        matters = not np.array_equal(mutant.table, original.table)  # an equivalent mutant is no error
        assert matters != np.array_equal(products, original.table.astype(np.uint16)), mutant.name
        caught += matters
    assert caught > 0.9 * len(changed)


def test_a_gate_is_one_named_wire_in_the_emitted_verilog() -> None:
    cell = cells.cell("exact8s")
    text = to_verilog(Multiplier(cell), "mul_exact8s")
    assert len(re.findall(r"assign n\d+ = ", text)) == len(cell.netlist.gates)
