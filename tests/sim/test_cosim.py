"""The emitted accelerator computes what the jobs expect, whatever the timing; a wrong gate is found and placed."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from slipstick.errors import UserError
from slipstick.rtl.cells import cell
from slipstick.rtl.spec.array import ArrayConfig, CellMix
from slipstick.rtl.spec.machine import AcceleratorConfig
from slipstick.rtl.verilog.emit import accelerator_verilog
from slipstick.sim.cosim import cosimulate
from slipstick.sim.runner import SimulationError
from slipstick.sim.vectors import GemmJob
from tests.sim.conftest import job_for


@pytest.fixture(scope="module")
def jobs(make_job: Callable[..., GemmJob]) -> list[GemmJob]:
    return [
        make_job("whole tiles", 8, 6, 8),
        make_job("padded", 7, 46, 13),
        make_job("compensated cell alone, padded", 5, 4, 3, columns=(2,)),
        make_job("columns out of order", 6, 9, 10, columns=(3, 0, 2)),
        make_job("one value", 1, 1, 1),
        make_job("more rows than accumulators", 300, 4, 4),
    ]


@pytest.fixture(scope="module")
def verilog(config: AcceleratorConfig) -> str:
    return accelerator_verilog(config)


@pytest.mark.parametrize("backpressure", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("mode", ["file", "stream"])
def test_every_value_agrees_under_any_timing(config, jobs, mode: str, backpressure: float) -> None:
    result = cosimulate(config, jobs, seed=5, backpressure=backpressure, mode=mode)
    assert result.mismatches == 0, result
    assert (result.cycles_wanted is None) == (backpressure > 0) and result.in_time, result
    assert [job.compared for job in result.jobs] == [2 * job.accumulators.size for job in jobs]


def test_another_seed_takes_other_cycles_to_the_same_values(config, jobs) -> None:
    results = [cosimulate(config, jobs[:2], seed=seed, backpressure=0.5) for seed in (1, 2, 2)]
    assert [result.mismatches for result in results] == [0, 0, 0]
    assert results[0].cycles != results[1].cycles == results[2].cycles


def test_a_swapped_gate_is_found_in_exactly_its_columns(config, jobs, verilog: str, tmp_path: Path) -> None:
    module = re.search(r"module product_truncated8s_k8 .*?endmodule", verilog, re.S)
    assert module
    gate = re.findall(r"assign n\d+ = n\d+ \^ n\d+;", module[0])[-1]
    broken = verilog.replace(module[0], module[0].replace(gate, gate.replace("^", "&")))
    result = cosimulate(config, jobs[1:2], seed=1, verilog=broken, waveform=True, workdir=tmp_path)
    assert set(result.jobs[0].columns) == {1, 3}
    assert result.mismatches == sum(result.jobs[0].columns.values())
    first = result.first_mismatches[0]
    assert first.column in (1, 3) and first.channel % 4 == first.column
    wanted = jobs[1].accumulators if first.quantity == "accumulator" else jobs[1].outputs
    assert first.wanted == wanted[first.row, first.channel] != first.got
    assert re.fullmatch(
        rf"padded tile \(k all, n {first.channel // 4}\) row {first.row} channel {first.channel} "
        rf"column {first.column} \(cell truncated8s_k8\) beat \d+ cycle \d+: accumulator got {first.got}, "
        rf"wanted {first.wanted}",
        str(first),
    )
    assert result.waveform and result.waveform.read_text().startswith("$version")
    assert str(result.waveform) in str(result)


def test_wrong_expectations_are_reported_where_they_are(config, jobs) -> None:
    outputs = jobs[0].outputs.copy()
    outputs[3, 6] ^= 1
    result = cosimulate(config, [jobs[1], replace(jobs[0], outputs=outputs)], seed=1)
    assert [job.mismatches for job in result.jobs] == [0, 1]
    (mismatch,) = result.first_mismatches
    assert (mismatch.quantity, mismatch.row, mismatch.channel, mismatch.column) == ("output", 3, 6, 2)


@pytest.mark.parametrize("mode", ["file", "stream"])
def test_a_stuck_accelerator_is_an_error_not_a_hang(config, jobs, verilog: str, mode: str) -> None:
    stuck, count = re.subn(r"assign ready = advance & .*;", "assign ready = 1'h0;", verilog)
    assert count == 1
    with pytest.raises(SimulationError, match=r"has not ended after \d+ cycles"):
        cosimulate(config, jobs[4:5], seed=1, verilog=stuck, mode=mode)


def test_an_answer_that_does_not_wait_is_an_error(config, jobs, verilog: str) -> None:
    hasty, count = re.subn(r"assign (advance) = \w+ \| answer_ready;", r"assign \1 = 1'h1;", verilog)
    assert count == 1
    with pytest.raises(SimulationError):
        cosimulate(config, jobs[:1], seed=1, backpressure=0.5, verilog=hasty)


def test_verilog_that_does_not_compile_is_an_error_with_the_log(config, jobs, verilog: str) -> None:
    with pytest.raises(SimulationError, match=r"(?s)verilator failed.*syntax error"):
        cosimulate(config, jobs[4:5], seed=1, verilog=verilog.replace("  assign ", "  = ", 1))
    with pytest.raises(UserError, match=r"one module of the Verilog must have the ports .* there is none"):
        cosimulate(config, jobs[4:5], seed=1, verilog="module accelerator (")


def test_columns_that_the_array_lacks_are_refused(config, jobs) -> None:
    with pytest.raises(UserError, match=r"uses columns \[7\]; the array has 4"):
        cosimulate(config, [replace(jobs[4], columns=(7,))], seed=1)


def test_a_job_survives_its_file(jobs, tmp_path: Path) -> None:
    jobs[3].save(tmp_path / "job.npz")
    again = GemmJob.load(tmp_path / "job.npz")
    assert (again.layer, again.columns, again.requant.low) == (jobs[3].layer, jobs[3].columns, -120)
    for name in ("activations", "weights", "bias", "accumulators", "outputs"):
        np.testing.assert_array_equal(getattr(again, name), getattr(jobs[3], name))
    np.testing.assert_array_equal(again.requant.multiplier, jobs[3].requant.multiplier)


def test_a_job_with_disagreeing_shapes_is_refused(jobs) -> None:
    with pytest.raises(UserError, match=r"bias is int32 \[7\], not int32 \[8\]"):
        replace(jobs[0], bias=np.zeros(7, np.int32))


def test_a_column_of_unsigned_cells_agrees_as_those_of_signed_ones() -> None:
    array = ArrayConfig(2, 2, CellMix.by_column([cell("exact8s"), cell("drum8u_k4")], rows=2, columns=2))
    config = AcceleratorConfig(array, 1, 2)
    result = cosimulate(config, [job_for(array, "mixed", 6, 5, 4, columns=(0, 1))], seed=3)
    assert result.mismatches == 0, result
    assert "drum8u_k4_on_magnitudes" in array.describe()
