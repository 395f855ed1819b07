"""The floating-point rival computes what NumPy's float32 computes, and bfloat16 what rounding to 8 bits gives."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from slipstick.rtl.verilog.emit import to_verilog
from slipstick.sim.unit import play
from slipstick.sim.verilator import find_verilator
from tests.bench.pwl_units.float_arithmetic import BFLOAT16, SINGLE, FloatFormat
from tests.bench.pwl_units.float_unit import FloatPwlUnit

QUIET_NAN = 0x7FC00000
CORNERS = np.array(
    [0, 1, 0x7FFFFF, 0x800000, 0x800001, 0x3F800000, 0x3F800001, 0x3F7FFFFF, 0x40000000, 0x4B800000, 0x33800000,
     0x33FFFFFF, 0x7F7FFFFF, 0x7F800000, QUIET_NAN, 0x1F800000, 0x20000000, 0x5F800000],
    np.uint32,
)  # fmt: skip
CORNERS = np.concatenate([CORNERS, CORNERS | np.uint32(1 << 31)])


def flush(x: np.ndarray) -> np.ndarray:
    return np.where(np.abs(x) < np.float32(2.0**-126), np.copysign(np.float32(0), x), x)


def rounded(exact: np.ndarray, bits: int) -> np.ndarray:
    """float64 rounded to a significand of ``bits``, then to the range of 8 exponent bits, too small being 0."""
    mantissa, exponent = np.frexp(exact)
    value = np.ldexp(np.rint(np.ldexp(mantissa, bits)), exponent - bits)  # rint: ties to even
    value = np.where(np.abs(value) >= 2.0**128, np.copysign(np.inf, exact), value)
    value = np.where(np.abs(value) < 2.0**-126, np.copysign(0.0, exact), value)
    return value.astype(np.float32)


def wanted(slope: np.ndarray, x: np.ndarray, intercept: np.ndarray, form: FloatFormat) -> np.ndarray:
    slope, x, intercept = flush(slope), flush(x), flush(intercept)
    with np.errstate(all="ignore"):
        product = rounded(slope.astype(np.float64) * x, form.fraction + 1)  # exact in float64
        if form == SINGLE:
            return flush(product + intercept)  # NumPy's own addition; sums below 2^-126 are exact
        return rounded(product.astype(np.float64) + intercept, form.fraction + 1)  # 53 bits >= 2 * 8 + 2


def patterns(x: np.ndarray, form: FloatFormat) -> np.ndarray:
    return (np.asarray(x, np.float32).view(np.uint32) >> (32 - form.width)).astype(np.int64)


def sort_keys(x: np.ndarray, form: FloatFormat) -> np.ndarray:
    bits = patterns(flush(np.asarray(x, np.float32)) + np.float32(0), form)  # -0 + 0 is 0
    sign = bits >> (form.width - 1)
    return np.where(sign == 1, (bits ^ ((1 << (form.width - 1)) - 1)) - (1 << form.width), bits)


def cut(bits: np.ndarray, form: FloatFormat) -> np.ndarray:
    """Patterns of 32 bits as numbers of the format: the low bits dropped."""
    return (bits >> (32 - form.width) << (32 - form.width)).astype(np.uint32).view(np.float32)


def random_lines(form: FloatFormat, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Operands near each other, so that sums cancel and round, and anywhere at all."""
    rng = np.random.default_rng(5)
    anywhere = rng.integers(0, 1 << 32, (3, count // 4), dtype=np.uint64).astype(np.uint32)
    near = rng.integers(0, 1 << 32, (3, count), dtype=np.uint64).astype(np.uint32)
    near = (near & np.uint32(0x807FFFFF)) | (rng.integers(112, 143, (3, count)) << 23).astype(np.uint32)
    edge = rng.integers(0, 1 << 32, (3, count // 4), dtype=np.uint64).astype(np.uint32)
    edge = (edge & np.uint32(0x807FFFFF)) | (rng.integers(50, 78, (3, count // 4)) << 23).astype(np.uint32)
    cancel = near.copy()
    product = rounded(cut(near[0], form).astype(np.float64) * cut(near[1], form), form.fraction + 1)
    nudge = rng.integers(-2, 3, count) << (32 - form.width)
    cancel[2] = ((-product).view(np.uint32).astype(np.int64) + nudge).astype(np.uint32)
    grid = np.stack([one.ravel() for one in np.meshgrid(CORNERS, CORNERS, CORNERS)])
    joined = np.concatenate([anywhere, near, edge, cancel, grid], axis=1)
    slope, x, intercept = (cut(one, form) for one in joined)
    return slope, x, intercept


@pytest.mark.parametrize("form", [SINGLE, BFLOAT16], ids=["float32", "bfloat16"])
def test_lines_agree_with_numpy_on_corners_and_random_numbers(form: FloatFormat, tmp_path: Path) -> None:
    slope, x, intercept = random_lines(form, 20_000)
    count = len(x)
    beats = {
        "load": np.tile([1, 1, 0], count),
        "slope": np.repeat(patterns(slope, form), 3),
        "intercept": np.repeat(patterns(intercept, form), 3),
        "i.payload": np.repeat(patterns(x, form), 3)[:, None],
    }
    done = play(FloatPwlUnit(2, form), beats, count, tmp_path, seed=1)
    got = (done.values["o.payload"][:, 0] << (32 - form.width)).astype(np.uint32)
    expected = wanted(slope, x, intercept, form)
    expected_bits = np.where(np.isnan(expected), np.uint32(QUIET_NAN), expected.view(np.uint32))
    differing = np.flatnonzero(got != expected_bits)
    assert differing.size == 0, [
        (hex(got[n]), hex(expected_bits[n]), slope[n], x[n], intercept[n]) for n in differing[:5]
    ]
    assert count > 90_000


def test_verilog_is_clean_under_all_warnings(tmp_path: Path) -> None:
    (tmp_path / "unit.v").write_text(to_verilog(FloatPwlUnit(8, SINGLE), "unit"))
    command = [find_verilator().executable, "--lint-only", "-Wall", "unit.v"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr == "" and done.returncode == 0


@pytest.mark.parametrize("form", [SINGLE, BFLOAT16], ids=["float32", "bfloat16"])
def test_segments_are_those_of_the_comparison_of_numbers(form: FloatFormat, tmp_path: Path) -> None:
    breakpoints = cut(np.array([-8.5, -1.0, -0.25, 0.0, 1e-3, 1.0, 6.0], np.float32).view(np.uint32), form)
    ends = np.array([-np.inf, np.inf, 0.0, -0.0, -1e-30, 1e-30, 1e-40, -1e-40], np.float32)
    step = 1 << (32 - form.width)
    bits = breakpoints.view(np.uint32).astype(np.int64)
    around = [(bits + offset).astype(np.uint32) for offset in (0, step, -step)]
    x = cut(np.concatenate([*around, ends.view(np.uint32)]), form)
    x = x[~np.isnan(x)]
    beats = {
        "load": np.repeat([1, 0], [8, len(x)]),
        "breakpoint": np.concatenate([[0], sort_keys(breakpoints, form), np.zeros(len(x), np.int64)]),
        "slope": np.zeros(8 + len(x), np.int64),
        "intercept": np.concatenate([patterns(np.arange(8), form), np.zeros(len(x), np.int64)]),
        "i.payload": np.concatenate([np.zeros(8, np.int64), patterns(x, form)])[:, None],
    }
    done = play(FloatPwlUnit(8, form), beats, len(x), tmp_path, seed=1, stall=0.3)
    got = (done.values["o.payload"][:, 0] << (32 - form.width)).astype(np.uint32).view(np.float32)
    finite = np.isfinite(x)
    np.testing.assert_array_equal(got[finite], np.searchsorted(breakpoints, flush(x[finite]), side="right"))
    assert np.isnan(got[~finite]).all()  # 0 times infinity
