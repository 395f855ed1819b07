"""The commands of ``slipstick cells`` end to end: list, import, export."""

import json
from pathlib import Path

import numpy as np
import pytest

from slipstick.rtl.cells import cell
from tests.flow import command_line

VERILOG = "module my8s(input signed [7:0] a, w, output signed [15:0] p); assign p = a * w & ~16'sd7; endmodule\n"


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.chdir(tmp_path)
        return command_line.call(monkeypatch, *arguments), *capsys.readouterr()

    return call


def test_an_imported_cell_goes_by_its_name_everywhere(call, tmp_path: Path) -> None:
    (tmp_path / "mul.v").write_text(VERILOG)
    code, out, error = call("cells", "import", "mul.v", "--top", "my8s", "--json")
    shown = json.loads(out)
    assert (code, error) == (0, "") and shown["name"] == "my8s" and shown["signed"]
    assert set(shown["errors"]) == {"mae", "wce", "ep", "mre", "mse", "bias", "variance"}
    assert shown["errors"]["wce"] == 7 and shown["errors_relative"]["wce"] == 7 / 65536
    assert shown["digest"] == cell("my8s").digest
    assert call("generate", "--rows", "2", "--columns", "2", "--mix", "my8s:1,exact8s:1", "--out", "array.v")[0] == 0
    assert "product_my8s" in (tmp_path / "array.v").read_text()
    code, out, _ = call("cells", "my*", "--errors-only", "--json")
    assert [one["name"] for one in json.loads(out)["cells"]] == ["my8s"]


def test_the_same_file_twice_needs_force_and_a_shipped_name_is_taken(call, tmp_path: Path) -> None:
    (tmp_path / "mul.v").write_text(VERILOG)
    assert call("cells", "import", "mul.v")[0] == 0
    code, out, error = call("cells", "import", "mul.v")
    assert code == 2 and out == "" and error.count("\n") == 1 and "already; give another --name, or --force" in error
    assert call("cells", "import", "mul.v", "--force")[0] == 0
    code, _, error = call("cells", "import", "mul.v", "--name", "exact8s", "--force")
    assert code == 2 and "'exact8s' is one of Slipstick's own" in error


def test_a_mistake_leaves_nothing_behind(call, tmp_path: Path, own_cells: Path) -> None:
    (tmp_path / "mul.v").write_text(VERILOG.replace("15:0", "14:0"))
    for arguments in (
        ["mul.v"],
        ["mul.v", "--top", "x;y"],
        ["nothing.v"],
        ["mul.v", "--widths", "8"],
        ["mul.v", "--name", "a-b"],
    ):
        code, out, error = call("cells", "import", *arguments)
        assert code == 2 and out == "" and error.startswith("slipstick: ") and error.count("\n") == 1
    assert list(own_cells.iterdir()) == [] and [path.name for path in tmp_path.iterdir()] == ["mul.v"]


def test_what_is_exported_imports_as_the_same_products(call, tmp_path: Path) -> None:
    assert call("cells", "export", "drum8s_k4", "--verilog", "d.v", "--table", "d.npy")[0] == 0
    assert call("cells", "export", "drum8s_k4", "--table", "d.csv", "--json")[0] == 0
    code, out, _ = call("cells", "import", "d.v", "d.npy", "d.csv", "--name", "back")
    assert code == 0 and out.count("agree on all 65,536 pairs") == 2
    np.testing.assert_array_equal(cell("back").table, cell("drum8s_k4").table)
    assert call("cells", "export", "drum8s_k4")[0] == call("cells", "export", "drum8s_k4", "--table", "d.txt")[0] == 2


def test_figures_of_a_wide_cell_are_said_to_be_estimates(call, tmp_path: Path) -> None:
    (tmp_path / "m.v").write_text(
        "module m(input [15:0] a, w, output [31:0] p); assign p = a * w & ~32'd255; endmodule"
    )
    code, out, _ = call("cells", "import", "m.v", "--samples", "20000")
    assert code == 0 and "WCE      >= 255" in out and "MAE" in out and " +- " in out
    assert "estimated from 20,000 random pairs (seed 0), 99% intervals" in out
    assert ">= " in call("cells", "m", "--errors-only")[1]


def test_a_damaged_cell_is_left_out_of_the_list_with_a_line(call, own_cells: Path) -> None:
    (own_cells / "my8s.json").write_text("{")
    code, out, error = call("cells", "*8s", "--errors-only", "--json")
    assert code == 0 and "exact8s" in out and error.count("\n") == 1 and "my8s.json is no cell" in error
    code, out, error = call("cells", "my8s")
    assert code == 2 and error.count("\n") == 1


def test_the_list_is_the_default_and_patterns_are_not_commands(call) -> None:
    one = ("drum8s_k4", "--errors-only")
    assert call("cells", *one)[1] == call("cells", "list", *one)[1]
    assert (
        "import" in call("cells", "--help")[1] and "Example: slipstick cells import" in call("cells", "import", "-h")[1]
    )
    assert call("cells", "imports")[0] == 2


@pytest.mark.slow
def test_the_list_shows_costs_and_writes_a_page(call, tmp_path: Path) -> None:
    name = "truncated_magnitude8s_k7_c2"
    arguments = ("cells", name, "--plot", "page.html", "--json")
    code, out, _ = call(*arguments)
    (one,) = json.loads(out)["cells"]
    assert code == 0 and one["name"] == name and name in (tmp_path / "page.html").read_text()
    assert one["power_uw"] == pytest.approx(one["energy_fj"] * 0.1)  # fJ an operation at 100 MHz
    saving = one["saving"]
    assert 0 < saving["inference"] < saving["array"] < saving["mac"] < 1
    assert call(*arguments)[1] == out


def test_a_workload_that_is_none_is_refused_before_anything_is_synthesised(call, tmp_path: Path) -> None:
    (tmp_path / "w.npz").write_bytes(b"x")
    code, out, error = call("cells", "exact8s", "--workload", "w.npz", "--plot", "page.html")
    assert code == 2 and out == "" and error.count("\n") == 1 and "w.npz" in error and not list(tmp_path.glob("*.html"))
