"""The emitted Verilog is lint-clean, readable and says what it is."""

import re
import subprocess
from pathlib import Path

import pytest

from slipstick.errors import UserError
from slipstick.rtl.array.accelerator import Accelerator
from slipstick.rtl.cells import cell, cells
from slipstick.rtl.parts.place import Library
from slipstick.rtl.spec.array import ArrayConfig, CellMix
from slipstick.rtl.spec.machine import AcceleratorConfig
from slipstick.rtl.verilog.emit import accelerator_verilog, to_verilog
from slipstick.rtl.verilog.names import check_module_name
from slipstick.sim.verilator import find_verilator

POOL = ["exact8s", "truncated8s_k9", "truncated8s_k6_c1", "mitchell8s"]


def config(rows: int, columns: int, tile_rows: int = 1, tile_columns: int = 1, **sizes: int) -> AcceleratorConfig:
    grid = [[cell(POOL[(r * columns + c) % len(POOL)]) for c in range(columns)] for r in range(rows)]
    array = ArrayConfig(rows, columns, CellMix(tuple(map(tuple, grid))))
    return AcceleratorConfig(array, tile_rows, tile_columns, **{"depth": 4, **sizes})


SHAPES = [
    (1, 1, 1, 1), (1, 9, 1, 1), (1, 9, 1, 3), (1, 9, 1, 9), (3, 2, 1, 2), (3, 2, 3, 1), (2, 5, 1, 5), (2, 5, 2, 1),
    (4, 4, 2, 2), (8, 8, 8, 8),
]  # fmt: skip


@pytest.mark.parametrize("number, shape", list(enumerate(SHAPES)))
def test_verilog_is_clean_under_all_warnings(number: int, shape: tuple[int, int, int, int], tmp_path: Path) -> None:
    text = accelerator_verilog(config(*shape, accumulator_rows=(2, 3, 256)[number % 3]))
    (tmp_path / "accelerator.v").write_text(text)
    assert lint(tmp_path, "accelerator", "accelerator.v") == ""


@pytest.mark.slow
@pytest.mark.parametrize("depth", [1, 64])
def test_every_cell_is_clean_in_a_column_of_its_own(depth: int, tmp_path: Path) -> None:
    every = [one for one in cells("*8s*") if one.widths == (8, 8)]
    array = ArrayConfig(1, len(every), CellMix.by_column(every, rows=1, columns=len(every)))
    text = accelerator_verilog(AcceleratorConfig(array, accumulator_rows=2, depth=depth))
    (tmp_path / "accelerator.v").write_text(text)
    assert lint(tmp_path, "accelerator", "accelerator.v") == ""


def test_names_tell_tile_column_and_row_and_equal_parts_share_a_module() -> None:
    text = accelerator_verilog(config(4, 4, 2, 1))
    assert "// Tiles: 2 x 1 products each, 2 x 4 of them." in text
    for column in range(4):
        for tile in range(2):
            assert re.search(rf"^  dot_r2_s\d+_{POOL[column]} dot_t{tile}_c{column} \($", text, re.M)
    for name in POOL:
        assert text.count(f"module product_{name} (") == 1
        assert f"//   {name}: {len(cell(name).netlist.gates)} gates, netlist {cell(name).digest[:16]}" in text
    assert len(re.findall(r"^module (\w+)", text, re.M)) == len(set(re.findall(r"^module (\w+)", text, re.M)))


def test_text_has_no_generated_names_and_is_reproducible() -> None:
    text = accelerator_verilog(config(2, 2, 2, 1))
    assert "\\" not in text and "$auto" not in text and "/work" not in text
    assert text == accelerator_verilog(config(2, 2, 2, 1))


def test_a_part_alone_has_the_text_that_it_has_in_a_design() -> None:
    text = accelerator_verilog(config(2, 2, 2, 1))
    library = Library()
    library.part(Accelerator, config(2, 2, 2, 1))
    for part in library.parts():
        assert to_verilog(part, library.module_name(part)) in text


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_accumulators_wider_than_an_answer_lane_are_refused() -> None:
    with pytest.raises(UserError, match="use a smaller depth"):
        Accelerator(config(2, 2, depth=1 << 20))


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_more_accumulators_than_beats_can_name_are_refused() -> None:
    with pytest.raises(UserError, match="up to 4096 rows of accumulators"):
        Accelerator(config(2, 2, accumulator_rows=4097))


def lint(folder: Path, top: str, *files: str) -> str:
    command = [find_verilator().executable, "--lint-only", "-Wall", "--top-module", top, *files]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True).stderr


def test_two_arrays_with_names_of_their_own_stand_in_one_design(tmp_path: Path) -> None:
    for name, own in (("left", config(2, 3)), ("right", config(1, 2))):
        text = accelerator_verilog(own, name=name)
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
