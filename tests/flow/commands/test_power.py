import json

import numpy as np
import pytest

from slipstick.flow import cli

DESIGN = """module adder(input clk, input [3:0] x, input [3:0] y, output reg [4:0] s);
  always @(posedge clk) s <= x + y;
endmodule
"""


def slipstick(monkeypatch, capsys, *arguments):
    monkeypatch.setattr("sys.argv", ["slipstick", *map(str, arguments)])
    try:
        code = cli.run()
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    return code or 0, out, err


def test_a_cell_and_a_design_give_the_documented_json(monkeypatch, capsys, tmp_path):
    (tmp_path / "adder.v").write_text(DESIGN)
    for arguments in (["--cell", "exact8s"], [tmp_path / "adder.v"]):
        code, out, _ = slipstick(monkeypatch, capsys, "power", *arguments, "--vectors", 256, "--json")
        found = json.loads(out)
        assert code == 0
        assert set(found["power"]) == {"internal_uw", "switching_uw", "leakage_uw", "total_uw"}
        assert found["power"]["total_uw"] > 0
        assert found["clock_mhz"] == 100 and found["coverage"] == 1


ENABLED = """module top(input clk, rst_n, en, input [7:0] d, output reg [7:0] q, output reg [3:0] n);
  always @(posedge clk or negedge rst_n) if (!rst_n) q <= 0; else if (en) q <= d;
  always @(negedge clk) n <= n + 1;
endmodule
"""


def test_registers_with_enables_resets_and_feedback_need_no_traces(monkeypatch, capsys, tmp_path):
    (tmp_path / "top.v").write_text(ENABLED)
    totals = {}
    for name, level in (("busy", 1), ("held", 0)):
        ones = np.ones(256, np.int64)
        words = {"rst_n": ones, "en": level * ones, "d": np.tile([0, 255], 128)}
        np.savez(tmp_path / f"{name}.npz", **words)
        vectors = ("--vectors", tmp_path / f"{name}.npz", "--json")
        code, out, err = slipstick(monkeypatch, capsys, "power", tmp_path / "top.v", *vectors)
        assert (code, err) == (0, "")
        totals[name] = json.loads(out)["parts"]["registers"]["total_uw"]
    assert 0 < totals["held"] < 0.8 * totals["busy"]
    code, out, _ = slipstick(monkeypatch, capsys, "power", tmp_path / "top.v", "--delays", "nldm", "--vectors", 300)
    assert code == 0 and "300 vectors" in out


def test_a_mapped_design_has_the_figures_of_what_it_was_mapped_from(monkeypatch, capsys, tmp_path):
    (tmp_path / "top.v").write_text(ENABLED)
    common = ("--vectors", 300, "--delays", "nldm", "--json")
    _, first, _ = slipstick(
        monkeypatch, capsys, "power", tmp_path / "top.v", "--netlist", tmp_path / "mapped.v", *common
    )
    code, again, _ = slipstick(monkeypatch, capsys, "power", tmp_path / "mapped.v", *common)
    assert code == 0
    first, again = json.loads(first), json.loads(again)
    assert again["power"] == pytest.approx(first["power"])
    assert (again["gates"], again["delay_ps"]) == (first["gates"], pytest.approx(first["delay_ps"]))


def test_a_library_with_cells_left_out_is_told_and_counted(monkeypatch, capsys, tmp_path, toy_text):
    monkeypatch.setattr("slipstick.flow.library.liberty._told", set())
    text = toy_text().replace("cell (DFF)", "cell (ODD) { } cell (DFF)")
    (tmp_path / "toy.lib").write_bytes(b"\xef\xbb\xbf// 25 \xb0C\n" + text.encode())
    arguments = ("--liberty", tmp_path / "toy.lib", "--vectors", 64, "--json")
    code, out, err = slipstick(monkeypatch, capsys, "power", "--cell", "drum8s_k4", *arguments)
    assert code == 0 and err.count("\n") == 2 and "1 cells are left out: ODD (has no area)" in err
    assert any("ODD" in one for one in json.loads(out)["library_warnings"])
    code, out, err = slipstick(monkeypatch, capsys, "liberty", "show", tmp_path / "toy.lib", "--json")
    found = json.loads(out)
    assert (found["left_out"], found["left_out_cells"]) == (1, {"ODD": "has no area"}) and len(found["notes"]) == 1


def test_vectors_of_a_file_are_used(monkeypatch, capsys, tmp_path):
    (tmp_path / "adder.v").write_text(DESIGN)
    still, busy = tmp_path / "still.npz", tmp_path / "busy.npz"
    np.savez(still, x=np.zeros(64, np.int64), y=np.zeros(64, np.int64))
    np.savez(busy, x=np.tile([0, 15], 32), y=np.tile([0, 15], 32))
    totals = []
    for file in (still, busy):
        _, out, _ = slipstick(monkeypatch, capsys, "power", tmp_path / "adder.v", "--vectors", file, "--json")
        totals.append(json.loads(out)["power"]["total_uw"])
    assert totals[0] < totals[1]


def test_written_saif_read_again_gives_the_power_of_independent_pins(monkeypatch, capsys, tmp_path):
    saif, netlist = tmp_path / "a.saif", tmp_path / "n.v"
    wrote = ("power", "--cell", "exact8s", "--vectors", 512, "--saif", saif, "--netlist", netlist, "--json")
    _, out, _ = slipstick(monkeypatch, capsys, *wrote)
    simulated = json.loads(out)
    _, out, _ = slipstick(monkeypatch, capsys, "power", "--cell", "exact8s", "--activity", saif, "--json")
    annotated = json.loads(out)
    assert annotated["coverage"] == 1 and annotated["vectors"] is None
    assert annotated["power"]["switching_uw"] == pytest.approx(simulated["power"]["switching_uw"])
    assert annotated["power"]["total_uw"] == pytest.approx(simulated["power"]["total_uw"], rel=0.05)
    assert netlist.read_text().startswith("module multiplier")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "give a Verilog file or --cell NAME"),
        (["--cell", "exact8s", "--vectors", "none.npz"], "none.npz: not an .npz file with whole numbers"),
        (["--cell", "exact8s", "--vectors", "1"], "--vectors 1: must be from 2 to"),
        (["--cell", "exact8s", "--clock-mhz", "0"], "--clock-mhz 0.0: must be above 0"),
        (["absent.v"], "absent.v"),
        (["--cell", "exact8s", "--activity", "absent.saif"], "cannot read absent.saif"),
        (["--cell", "exact8s", "--activity", "absent.vcd"], "cannot read absent.vcd"),
        (["--cell", "exact8s", "--activity", "wave.fst"], "wave.fst is neither .saif nor .vcd"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(monkeypatch, capsys, arguments, complaint):
    code, out, err = slipstick(monkeypatch, capsys, "power", *arguments)
    assert (code, out) == (2, "")
    assert complaint in err and err.count("\n") == 1
