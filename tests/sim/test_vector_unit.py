"""The vector unit sends every row to the unit it asks for and keeps their order, whatever the timing."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from slipstick.errors import UserError
from slipstick.rtl.spec.activation import ActivationSpec
from slipstick.rtl.spec.fixed import Requant
from slipstick.rtl.spec.layernorm import LayerNormSpec
from slipstick.rtl.spec.residual import HIGH, LOW, ResidualSpec
from slipstick.rtl.spec.softmax import SoftmaxSpec
from slipstick.rtl.vector.activation import ActivationUnit
from slipstick.rtl.vector.layernorm import LayerNormUnit
from slipstick.rtl.vector.residual import ResidualUnit
from slipstick.rtl.vector.softmax import SoftmaxUnit
from slipstick.rtl.vector.unit import Operation, VectorUnit
from slipstick.rtl.verilog.emit import to_verilog
from slipstick.sim.vector import cosimulate_rows
from slipstick.sim.verilator import find_verilator
from tests.rtl.tables import chords

DIM = 22
RNG = np.random.default_rng(6)
GELU = ActivationSpec(
    Requant(RNG.integers(30_000, 65_536, DIM), RNG.integers(22, 26, DIM), 0, -512, 511), chords("gelu", 6, 8, 10),
    Requant(np.array([50_000]), np.array([22])),
)  # fmt: skip
SOFTMAX = SoftmaxSpec(40_000, 24, chords("exp", 4, 8), chords("reciprocal", 6, 8), length=40)
NORM = LayerNormSpec.from_float(
    RNG.normal(1, 0.3, DIM), RNG.normal(0, 1, DIM), 1e-6, 1 / 64, 1 / 32, chords("rsqrt", 5, 8)
)
RESIDUAL = ResidualSpec(RNG.integers(30_000, 65_536, DIM), RNG.integers(18, 24, DIM))


def vector_unit(lanes: int) -> VectorUnit:
    return VectorUnit(
        ActivationUnit(GELU, lanes), SoftmaxUnit(SOFTMAX, lanes), LayerNormUnit(NORM, lanes),
        ResidualUnit(RESIDUAL, lanes),
    )  # fmt: skip


def row(operation: Operation) -> tuple[dict[str, np.ndarray | int], np.ndarray]:
    """A row's fields, and what comes of it."""
    length = DIM if operation is not Operation.SOFTMAX else int(RNG.integers(1, SOFTMAX.length + 1))
    data = RNG.integers(LOW, HIGH, length, endpoint=True)
    sums = np.rint(RNG.normal(0, 100_000, length)).astype(np.int64)
    if operation is Operation.ACTIVATION:
        wanted = GELU(sums)
    elif operation is Operation.SOFTMAX:
        wanted = SOFTMAX(sums)
    elif operation is Operation.LAYERNORM:
        wanted = NORM(data)
    else:
        wanted = RESIDUAL(data, sums)
    return {"operation": int(operation), "data": data, "accumulators": sums}, wanted


@pytest.mark.parametrize("backpressure", [0.0, 0.4])
@pytest.mark.parametrize("lanes", [1, 4])
def test_every_row_of_every_operation_agrees(lanes: int, backpressure: float) -> None:
    operations = [*Operation, *reversed(Operation), *map(Operation, RNG.integers(0, 4, 150)), *[Operation.SOFTMAX] * 9]
    given, wanted = zip(*map(row, operations), strict=True)
    result = cosimulate_rows(vector_unit(lanes), given, wanted, seed=4, backpressure=backpressure)
    assert result.mismatches == 0, result
    assert result.compared == sum(map(len, wanted))


@pytest.mark.parametrize("operation", Operation)
def test_rows_of_one_operation_follow_each_other_without_a_pause(operation: Operation) -> None:
    given, wanted = zip(*(row(operation) for _ in range(100)), strict=True)
    result = cosimulate_rows(vector_unit(4), given, wanted, seed=4)
    beats = [-(-len(one) // 4) for one in wanted]
    assert result.mismatches == 0, result
    assert result.cycles <= sum(beats) + 2 * max(beats) + 50  # two rows and the registers of latency


def test_verilog_is_clean_under_all_warnings(tmp_path: Path) -> None:
    text = "/* verilator lint_off DECLFILENAME */\n" + to_verilog(vector_unit(2), "unit")  # one file holds all modules
    (tmp_path / "unit.v").write_text(text)
    command = [find_verilator().executable, "--lint-only", "-Wall", "unit.v"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr == "" and done.returncode == 0


def test_parts_of_different_lanes_are_refused() -> None:
    with pytest.raises(UserError, match=r"not \[1, 2\]"):
        VectorUnit(ActivationUnit(GELU, lanes=2), SoftmaxUnit(SOFTMAX), LayerNormUnit(NORM), ResidualUnit(RESIDUAL))
