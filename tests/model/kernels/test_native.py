"""The compiled kernels: built once, equal to the plain loop in every build, re-entrant, replaceable."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch

from slipstick.model import gemm
from slipstick.model.gemm import PreparedWeights, approx_matmul
from slipstick.model.kernels import native
from slipstick.model.kernels.compiler import COMPILERS, FLAGS, KernelError, find_compiler
from slipstick.model.kernels.native import build, compile_kernels, load
from slipstick.model.kernels.selftest import check, plain_loop
from slipstick.rtl.cells import cell

needs_compiler = pytest.mark.skipif(not any(map(shutil.which, COMPILERS)), reason="no C++ compiler on PATH")
CELLS = ["exact8s", "drum8s_k4", "recursive8s", "truncated8s_k7", "mitchell8s"]


@pytest.fixture
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An empty cache, and a process that has not looked for the kernels yet."""
    monkeypatch.setenv("SLIPSTICK_CACHE", str(tmp_path))
    native.native.cache_clear()
    gemm.kernel_tables.cache_clear()
    yield tmp_path
    native.native.cache_clear()


@needs_compiler
@pytest.mark.parametrize("flags", [("-O1",), ("-O2", "-DSLIPSTICK_PORTABLE"), ("-O3", "-march=native")])
def test_every_instruction_set_passes_the_self_test(flags: tuple[str, ...], tmp_path: Path) -> None:
    check(load(compile_kernels(find_compiler(), (*FLAGS, *flags), tmp_path)))


@needs_compiler
def test_a_second_process_finds_the_library(fresh_cache: Path) -> None:
    first = build()
    with patch.object(native, "compile_kernels", side_effect=AssertionError("compiled again")):
        assert build().path == first.path


@needs_compiler
def test_a_library_that_computes_something_else_is_never_used(fresh_cache: Path) -> None:
    wrong = patch.object(native, "check", side_effect=AssertionError("factor kernel, rank 1"))
    with wrong, pytest.raises(KernelError, match="factor kernel, rank 1"):
        build()
    assert not list(fresh_cache.rglob("*.so"))


@needs_compiler
def test_source_that_does_not_compile_says_so(tmp_path: Path) -> None:
    with pytest.raises(KernelError, match="unknown-flag"):
        compile_kernels(find_compiler(), (*FLAGS, "--unknown-flag"), tmp_path)


@pytest.mark.parametrize("name", CELLS)
def test_without_a_compiler_one_warning_and_the_same_numbers(
    name: str, fresh_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    a, w = (torch.from_numpy(rng.integers(-128, 128, shape).astype(np.int8)) for shape in ((2, 9, 40), (2, 40, 7)))
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.warns(UserWarning, match=r"plain torch.*no-such-compiler.*apt-get install g\+\+"):
        prepared = PreparedWeights(w, cell(name))
    table = cell(name).table.astype(np.int64)
    wanted = plain_loop(a.numpy().view(np.uint8), w.numpy().view(np.uint8), table)
    np.testing.assert_array_equal(prepared.matmul(a), wanted)


def test_the_kernels_can_be_kept_away(fresh_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(native.VARIABLE, "off")
    assert native.native() is None


@needs_compiler
def test_calls_from_many_threads_do_not_meet() -> None:
    rng = np.random.default_rng(1)
    jobs = [
        (cell(name), *(torch.from_numpy(rng.integers(-128, 128, s).astype(np.int8)) for s in ((300, 70), (70, 90))))
        for name in CELLS * 3
    ]
    wanted = [approx_matmul(a, w, one) for one, a, w in jobs]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda job: approx_matmul(job[1], job[2], job[0]), jobs * 4))
    for result, expected in zip(found, wanted * 4, strict=True):
        assert torch.equal(result, expected)


@needs_compiler
def test_own_threads_serve_where_torch_lends_none(tmp_path: Path) -> None:
    library = load(compile_kernels(find_compiler(), (*FLAGS, "-O1"), tmp_path))
    for team in (native.loaded_team(), None):
        library.slipstick_use_team(team)
        check(library)


@needs_compiler
@pytest.mark.parametrize("name", CELLS)
def test_compiles_without_a_graph_break(name: str) -> None:
    rng = np.random.default_rng(2)
    a, w = (torch.from_numpy(rng.integers(-128, 128, s).astype(np.int8)) for s in ((3, 50, 40), (40, 24)))
    prepared = PreparedWeights(w, cell(name))

    def double(codes: torch.Tensor) -> torch.Tensor:
        return prepared.matmul(codes).float() * 2

    compiled = torch.compile(double, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(a), double(a))


@needs_compiler
@pytest.mark.parametrize("operator", ["factor_pack", "factor_gemm", "table_gemm", "quantise", "requantise", "scale"])
def test_fake_kernels_tell_the_real_shapes(operator: str) -> None:
    codes, weights = torch.ones(2, 5, 8, dtype=torch.int8), torch.ones(2, 8, 3, dtype=torch.int8)
    tables = gemm.kernel_tables(cell("recursive8s"))
    assert tables is not None and tables.left is not None and tables.right is not None
    packed = torch.ops.slipstick.factor_pack(weights, tables.right)
    sums = torch.ones(4, 3, dtype=torch.int32)
    arguments = {
        "factor_pack": (weights, tables.right),
        "factor_gemm": (codes, tables.left, packed, 3),
        "table_gemm": (codes, weights, tables.entries, tables.index, tables.bias, tables.group),
        "quantise": (torch.ones(4, 3), torch.ones(()), -128, 127),
        "requantise": (sums, torch.ones(3, dtype=torch.float64), 0, -128, 127),
        "scale": (sums, torch.ones(3, dtype=torch.int32), torch.ones(3)),
    }
    torch.library.opcheck(getattr(torch.ops.slipstick, operator).default, arguments[operator])
