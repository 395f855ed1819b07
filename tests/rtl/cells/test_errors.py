"""Error figures: exact over all pairs, estimated with honest intervals from a sample."""

import dataclasses

import numpy as np
import pytest

from slipstick.rtl.cells import build, cell, cells
from slipstick.rtl.cells.errors import exhaustive, sampled


@pytest.mark.parametrize("name", ["exact8s", "truncated8u_k6", "drum8s_k4", "mitchell8s", "recursive8u"])
def test_figures_follow_their_definitions(name: str) -> None:
    one = cell(name)
    error = one.table.astype(np.int64) - one.exact
    figures = one.errors
    assert figures.mae == np.abs(error).mean() and figures.wce == np.abs(error).max()
    assert figures.ep == (error != 0).mean() and figures.bias == error.mean() and figures.mse == (error**2).mean()
    assert figures.variance == pytest.approx(error.var(), rel=1e-12)
    nonzero = one.exact != 0
    assert figures.mre == pytest.approx((np.abs(error[nonzero]) / np.abs(one.exact[nonzero])).mean(), rel=1e-12)
    assert figures.sample is None and "sample" not in figures.as_json()


def test_figures_of_12_bit_cells_are_exact() -> None:
    one = build("truncated", width=12, signed=False, k=3)
    figures = one.errors
    dropped = 1 * 1 + 2 * 2 + 3 * 4  # the lowest three columns
    assert figures.sample is None and figures.wce == dropped
    assert figures.mae == -figures.bias == dropped / 4


def test_fractions_are_percentages_of_the_whole_range() -> None:
    figures = cell("drum8s_k4").errors
    share = figures.fractions(16)
    assert share["mae"] == figures.mae / 65536 and share["mse"] == figures.mse / 65536**2 and share["ep"] == figures.ep
    assert set(share) == set(figures.as_json())


def test_wide_cells_are_sampled_and_marked_so() -> None:
    one = build("exact", width=16)
    assert one.errors.sample is not None and one.errors.sample.pairs == 1 << 20
    assert one.errors.wce == 0 and one.errors.as_json()["sample"]["confidence"] == 0.99


def test_a_sample_is_repeatable_and_its_seed_matters() -> None:
    netlist = cell("drum8s_k4").netlist
    assert sampled(netlist, True, 5000, 1) == sampled(netlist, True, 5000, 1)
    assert sampled(netlist, True, 5000, 1).mae != sampled(netlist, True, 5000, 2).mae


def test_intervals_hold_the_true_figure_about_as_often_as_they_say() -> None:
    names = ("mae", "ep", "mre", "mse", "bias", "variance")
    missed = dict.fromkeys(names, 0)
    trials = 0
    for one in (cell("truncated8s_k6"), cell("drum8u_k4"), cell("mitchell8s")):
        true = dataclasses.asdict(exhaustive(one.netlist, one.signed))
        for seed in range(100):
            found = sampled(one.netlist, one.signed, 4000, seed)
            assert found.wce <= true["wce"] and found.sample is not None
            trials += 1
            for name in names:
                missed[name] += abs(getattr(found, name) - true[name]) > found.sample.margins[name]
    assert trials == 300 and missed.pop("mre") <= 24  # a heavy tail: rare small products
    assert all(count <= 12 for count in missed.values()), missed  # 3 expected at 99 %


def test_the_worst_error_at_extreme_operands_is_found_by_a_small_sample() -> None:
    one = cell("truncated8u_k8")
    assert sampled(one.netlist, False, 1000).wce == one.errors.wce


def test_figures_of_every_cell_are_consistent() -> None:
    for one in cells("*8*"):
        figures = one.errors
        assert abs(figures.bias) <= figures.mae <= figures.wce
        assert figures.mse == pytest.approx(figures.variance + figures.bias**2)
