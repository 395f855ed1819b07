"""The weightless MLP unit's Verilog: no multiplier, no warning; parameters out of range are refused."""

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from slipstick.errors import UserError
from slipstick.flow import yosys
from slipstick.rtl.lutnet.front import bits_used, depends_on
from slipstick.rtl.lutnet.unit import LutNetUnit
from slipstick.rtl.spec.lutnet import LutLayerSpec, LutNetSpec
from slipstick.rtl.vector.pwl import PwlUnit
from slipstick.rtl.verilog.emit import to_verilog
from slipstick.sim.verilator import find_verilator
from tests.rtl.spec.lutnets import random_lutnet
from tests.rtl.tables import chords

SPEC = random_lutnet(features=7, outputs=7, luts=(14, 9))
MULTIPLIERS = ("$mul", "$macc", "$pow", "$div", "$mod")


def with_gaps() -> LutNetSpec:
    """Two of four features and one of three tables are never looked at, and one comparator is never true."""
    thresholds = np.array([[-128, 5], [-3, 127], [0, 1], [2, 3]])
    rng = np.random.default_rng(1)
    tables = np.array([[0, 1, 1, 0], [1, 0, 0, 1], [0, 0, 0, 1], [0, 1, 0, 0], [1, 1, 0, 1]], np.uint8)
    first = LutLayerSpec(np.array([[0, 1], [2, 3], [4, 5]]), tables[:3])
    second = LutLayerSpec(np.array([[0, 1], [1, 0]]), tables[3:])
    return LutNetSpec(thresholds, (first, second), rng.integers(-8, 8, (2, 4)), 4, 0.1, 0.1)


UNITS = {
    "one lane": LutNetUnit(SPEC),
    "beats that do not fill": LutNetUnit(SPEC, 2, 4),
    "all at once": LutNetUnit(SPEC, 7, 9),
    "gaps": LutNetUnit(with_gaps(), 2, 1),
    "gaps, all lanes": LutNetUnit(with_gaps(), 4, 2),
    "six inputs": LutNetUnit(random_lutnet(6, 5, (20,), 6, outputs=6), 3, 20),
}


@pytest.mark.parametrize("name", UNITS)
def test_verilog_is_clean_under_all_warnings(name: str, tmp_path: Path) -> None:
    text = "/* verilator lint_off DECLFILENAME */\n" + to_verilog(UNITS[name], "unit")  # one file holds all modules
    (tmp_path / "unit.v").write_text(text)
    command = [find_verilator().executable, "--lint-only", "-Wall", "unit.v"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr == "" and done.returncode == 0


def cells_with_multiplication(unit: LutNetUnit | PwlUnit, folder: Path) -> int:
    """Cells of the netlist that multiply or divide, before anything is optimised."""
    (folder / "unit.v").write_text(to_verilog(unit, "unit"))
    chosen = " ".join(f"t:{kind}" for kind in MULTIPLIERS)
    done = yosys.run(folder, f"read_verilog unit.v\nproc\ntee -o found select -list {chosen}\n", timeout_s=60)
    assert done.code == 0, done.tail
    return len((folder / "found").read_text().split())


@pytest.mark.parametrize("name", UNITS)
def test_the_netlist_has_no_multiplier(name: str, tmp_path: Path) -> None:
    assert cells_with_multiplication(UNITS[name], tmp_path) == 0


def test_a_multiplier_of_another_unit_is_found(tmp_path: Path) -> None:
    assert cells_with_multiplication(PwlUnit(chords("exp", 4, 8), 40_000, 20), tmp_path) > 0


def test_bits_that_no_table_reads_are_left_out() -> None:
    assert bits_used(with_gaps()) == [{0, 1, 2}, {0, 1}, {0, 1}]
    text = to_verilog(UNITS["gaps"], "unit")
    assert "code_1" in text and "code_2" not in text and "layer_0_table_2" not in text


def test_a_bit_that_its_table_ignores_is_left_out() -> None:
    spec = with_gaps()
    first = LutLayerSpec(spec.layers[0].mapping, np.array([[0, 1, 0, 1], [0, 0, 0, 1], [1, 1, 1, 1]], np.uint8))
    assert bits_used(replace(spec, layers=(first, spec.layers[1]))) == [{0, 2}, {0, 1}, {0, 1}]
    assert depends_on(np.array([0, 1, 0, 1, 1, 0, 1, 0])).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("lanes", "parallel", "message"),
    [(0, 1, "0 lanes for rows of 7 codes"), (8, 1, "8 lanes"), (1, 0, "0 of 9 bits a cycle"), (1, 10, "10 of 9 bits")],
)
def test_lanes_and_bits_that_are_not_there_are_refused(lanes: int, parallel: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        LutNetUnit(SPEC, lanes, parallel)


def test_rows_that_would_change_their_length_are_refused() -> None:
    with pytest.raises(UserError, match="rows of 5 codes cannot become rows of 6"):
        LutNetUnit(random_lutnet(features=5, outputs=6))
