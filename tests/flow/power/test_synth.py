import time

import pytest

from slipstick.flow.library.liberty import default_liberty
from slipstick.flow.power.synth import Design, SynthesisError, synthesise, synthesise_all
from slipstick.store import Store
from tests.flow.power.designs import adder_verilog, register_verilog

ADDER = adder_verilog(8, 12)


def test_a_small_adder(tmp_path):
    result = synthesise(ADDER, "accumulate", default_liberty(), clock_ps=10_000, store=Store("synth", tmp_path))
    area = sum(default_liberty().cell(name).area_um2 * count for name, count in result.cells_by_type.items())
    assert result.area_um2 == pytest.approx(area)
    assert 100 < result.delay_ps < 10_000 and result.sequential_area_um2 == 0
    assert set(result.netlist["ports"]) == {"column_sum", "stored", "sum"}


def test_the_second_call_is_fast_and_identical(tmp_path):
    store = Store("synth", tmp_path)
    first = synthesise(ADDER, "accumulate", default_liberty(), clock_ps=10_000, store=store)
    start = time.perf_counter()
    second = synthesise(ADDER, "accumulate", default_liberty(), clock_ps=10_000, store=store)
    assert second == first
    assert time.perf_counter() - start < 0.1


def test_two_fresh_syntheses_give_the_same_netlist(tmp_path):
    runs = [
        synthesise(ADDER, "accumulate", default_liberty(), clock_ps=10_000, store=Store(name, tmp_path))
        for name in ("one", "two")
    ]
    assert runs[0].netlist == runs[1].netlist and runs[0].area_um2 == runs[1].area_um2


def test_registers_are_mapped():
    result = synthesise(register_verilog(5), "delay_register", default_liberty(), clock_ps=10_000)
    assert result.cells_by_type == {"sg13g2_dfrbp_1": 5}
    assert result.sequential_area_um2 == pytest.approx(result.area_um2)


@pytest.mark.parametrize(
    ("verilog", "top"), [("module x(input a; endmodule", "x"), ("module x(input a); endmodule", "absent")]
)
def test_an_error_of_yosys_carries_the_end_of_its_log(tmp_path, verilog, top):
    with pytest.raises(SynthesisError, match="ERROR"):
        synthesise(verilog, top, default_liberty(), clock_ps=1000, store=Store("synth", tmp_path))
    assert not (tmp_path / "synth").exists()  # a failure is not kept


def test_many_designs_report_progress_and_keep_their_order(tmp_path, monkeypatch):
    monkeypatch.setenv("SLIPSTICK_CACHE", str(tmp_path))
    seen = []
    designs = [Design(f"d{width}", register_verilog(width), "delay_register") for width in (1, 2, 3)]
    results = synthesise_all(
        iter(designs), default_liberty(), clock_ps=10_000, total=3, progress=lambda *step: seen.append(step)
    )
    assert list(results) == ["d1", "d2", "d3"]
    assert sorted(done for done, _, _ in seen) == [1, 2, 3] and {total for _, total, _ in seen} == {3}
    with pytest.raises(SynthesisError):
        synthesise_all([*designs, Design("bad", "nonsense", "x")], default_liberty(), clock_ps=10_000)
