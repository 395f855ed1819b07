"""The emitted Verilog is lint-clean, readable and says what it is."""

import re
import subprocess
from pathlib import Path

import pytest

from slipstick.errors import UserError
from slipstick.rtl.accelerator import Accelerator
from slipstick.rtl.cells import Cell, cell, cells
from slipstick.rtl.emit import accelerator_verilog
from slipstick.rtl.names import check_module_name
from slipstick.rtl.spec.array import ArrayConfig, CellMix, sum_range
from slipstick.rtl.spec.widths import signed_width
from slipstick.sim.verilator import find_verilator

POOL = ["exact8s", "truncated8s_k9", "truncated8s_k6_c1", "mitchell8s"]


def config(rows: int, columns: int) -> ArrayConfig:
    grid = [[cell(POOL[(r * columns + c) % len(POOL)]) for c in range(columns)] for r in range(rows)]
    return ArrayConfig(rows, columns, CellMix(tuple(map(tuple, grid))))


@pytest.mark.parametrize("rows, columns", [(1, 1), (1, 9), (3, 2), (2, 5), (8, 8)])
@pytest.mark.parametrize("accumulator_rows", [3, 256])
def test_verilog_is_clean_under_all_warnings(rows: int, columns: int, accumulator_rows: int, tmp_path: Path) -> None:
    text = accelerator_verilog(config(rows, columns), accumulator_rows=accumulator_rows, depth=4)
    (tmp_path / "accelerator.v").write_text(text)
    command = [find_verilator().executable, "--lint-only", "-Wall", "accelerator.v"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr == "" and done.returncode == 0


def test_names_tell_row_column_and_cell_and_equal_parts_share_a_module() -> None:
    text = accelerator_verilog(config(3, 4), depth=4)
    for row in range(3):
        for column in range(4):
            name = POOL[column]
            assert re.search(rf"^  pe_{name}_s\d+ pe_r{row}_c{column}_{name} \($", text, re.M)
    for name in POOL:
        assert text.count(f"module mul_{name} (") == 1
        assert f"//   {name}: {len(cell(name).netlist.gates)} gates, netlist {cell(name).digest[:16]}" in text
    assert len(re.findall(r"^module (\w+)", text, re.M)) == len(set(re.findall(r"^module (\w+)", text, re.M)))


def test_text_has_no_generated_names_and_is_reproducible() -> None:
    text = accelerator_verilog(config(2, 2), depth=4)
    assert "\\" not in text and "$auto" not in text and "/work" not in text
    assert text == accelerator_verilog(config(2, 2), depth=4)


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_accumulators_wider_than_an_answer_lane_are_refused() -> None:
    with pytest.raises(UserError, match="use a smaller depth"):
        Accelerator(config(2, 2), depth=1 << 20)


def lint(folder: Path, top: str, *files: str) -> str:
    command = [find_verilator().executable, "--lint-only", "-Wall", "--top-module", top, *files]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True).stderr


def test_every_width_of_sums_is_clean_in_the_smallest_array(tmp_path: Path) -> None:
    by_width: dict[int, Cell] = {}
    for one in cells("*8s*"):
        if one.widths == (8, 8):
            by_width.setdefault(signed_width(*sum_range([one])), one)
    assert min(by_width) < 16 == max(by_width)
    for width, one in by_width.items():
        array = ArrayConfig(1, 1, CellMix.uniform(one, rows=1, columns=1))
        (tmp_path / "one.v").write_text(accelerator_verilog(array, accumulator_rows=2, depth=1, name="one"))
        assert lint(tmp_path, "one", "one.v") == "", (width, one.name)


def test_two_arrays_with_names_of_their_own_stand_in_one_design(tmp_path: Path) -> None:
    for name, own in (("left", config(2, 3)), ("right", config(1, 2))):
        text = accelerator_verilog(own, accumulator_rows=4, depth=2, name=name)
        assert all(module.startswith(name) for module in re.findall(r"^module (\w+)", text, re.M))
        ports = ", ".join(
            f".{port}({name}_{port})" for port in re.findall(r"wire (?:\[\d+:0\] )?(\w+)[,\n]", text.split(");")[0])
        )
        assert "s_axis_tdata" in ports
        (tmp_path / f"{name}.v").write_text(text)
        (tmp_path / f"{name}.inc").write_text(f"{name} {name} ({ports});\n")
    both = "module both; /* verilator lint_off UNDRIVEN */\n" + "".join(
        (tmp_path / f"{n}.inc").read_text() for n in ("left", "right")
    )
    (tmp_path / "both.v").write_text(both + "endmodule\n")
    command = [
        find_verilator().executable,
        "--lint-only",
        "-Wno-lint",
        "--top-module",
        "both",
        "both.v",
        "left.v",
        "right.v",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "MODDUP" not in done.stderr, done.stderr
    assert lint(tmp_path, "left", "left.v") == ""


@pytest.mark.parametrize("name", ["module", "1x", "a b", "a.b", "", "é", "a" * 64, "logic"])
def test_names_that_no_module_can_have_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="module name"):
        check_module_name(name)
