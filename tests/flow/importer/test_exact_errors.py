"""Compiled figures equal those of the plain loop, and closed forms at 16 bits."""

import pytest

from slipstick.flow.importer.exact_errors import exact_errors
from slipstick.rtl.cells import Cell, build, cell


def same(left: Cell) -> None:
    found, wanted = exact_errors(left).as_json(), left.errors.as_json()
    assert found == {key: pytest.approx(value, rel=1e-9, abs=1e-9) for key, value in wanted.items()}
    for name in ("mae", "wce", "ep", "bias"):
        assert found[name] == wanted[name]


def test_figures_equal_those_of_the_plain_loop() -> None:
    for name in ("exact8s", "truncated8u_k6", "drum8s_k4", "mitchell8u", "broken_array8s_h2_v6"):
        same(cell(name))


@pytest.mark.parametrize("signed", [True, False])
def test_figures_of_12_bit_cells_equal_those_of_the_plain_loop(signed: bool) -> None:
    same(build("truncated", width=12, signed=signed, k=7))


def test_progress_counts_all_pairs_and_a_machine_without_a_compiler_gets_the_same(monkeypatch) -> None:
    seen: list[tuple[int, int]] = []
    wanted = exact_errors(cell("drum8s_k4"), lambda *at: seen.append(at))
    assert seen[-1] == (65536, 65536) and len(seen) > 1
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert exact_errors(cell("drum8s_k4")) == cell("drum8s_k4").errors
    assert wanted.mae == cell("drum8s_k4").errors.mae


@pytest.mark.slow
@pytest.mark.parametrize("signed", [True, False])
def test_figures_of_16_bit_cells_are_those_of_the_closed_form(signed: bool) -> None:
    figures = exact_errors(build("truncated", width=16, signed=signed, k=4))
    dropped = 1 + 2 * 2 + 3 * 4 + 4 * 8  # the lowest four columns
    assert figures.wce == dropped and figures.mae == -figures.bias == dropped / 4 and figures.sample is None
