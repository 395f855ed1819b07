"""Evolutions: the archive keeps bounds and the front, an interrupted run ends like one that was not."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstick.errors import UserError
from slipstick.flow.characterise.operands import Operands
from slipstick.flow.evolve import search as module
from slipstick.flow.evolve.archive import Archive, Measured, Member
from slipstick.flow.evolve.kernel import Bounds, Evaluator
from slipstick.flow.evolve.search import Search, Settings, State
from slipstick.flow.evolve.seeds import scored, seed_cells
from slipstick.flow.library.liberty import default_liberty
from slipstick.rtl.cells import cell
from slipstick.rtl.cells.cell import Cell

SETTINGS = Settings(mae=(5.0, 60.0), generations=1000, seed=3)


def begin(evaluator: Evaluator, operands: Operands, settings: Settings = SETTINGS, seeds: str = "exact8[su]") -> Search:
    return Search(settings, evaluator, operands, default_liberty(), scored(seed_cells(seeds, True), evaluator))


@pytest.fixture
def unmapped(evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers of gates in place of mapped energies, which take more than a second a cell."""

    def estimate(own: Cell, operands: Operands, *_: object, **__: object) -> Measured:
        error = (own.table - own.exact).astype(float)
        wce = int(np.abs(error).max())
        means = [operands.mean(part) for part in (np.abs(error), error**2, error)]
        return Measured(len(own.netlist.gates), 0, 0, 0, *means, wce)

    monkeypatch.setattr(module, "measure", estimate)


def rounds(count: int):
    return lambda state: state.round >= count


def facts(state: State) -> str:
    return json.dumps([[one.to_json() for one in state.archive.members], vars(state.statistics), state.round])


@pytest.mark.parametrize("cut", [1, 7, 33, 60])
def test_a_killed_run_ends_like_one_that_was_not(
    evaluator: Evaluator, operands: Operands, unmapped: None, tmp_path: Path, cut: int
) -> None:
    whole = begin(evaluator, operands)
    whole.run(rounds(2), lambda state: None)
    first, path = begin(evaluator, operands), tmp_path / "state.json"
    for _ in range(cut):
        first.step()
        first.state.save(path)
    second = begin(evaluator, operands)
    second.state = State.load(path)
    second.run(rounds(2), lambda state: state.save(path))
    assert facts(second.state) == facts(whole.state) == facts(State.load(path))
    assert whole.state.archive.members


def test_equal_seeds_find_equal_cells_and_others_do_not(
    evaluator: Evaluator, operands: Operands, unmapped: None
) -> None:
    found = []
    for seed in (3, 3, 4):
        search = begin(evaluator, operands, replace(SETTINGS, seed=seed))
        search.run(rounds(1), lambda state: None)
        found.append(facts(search.state))
    assert found[0] == found[1] != found[2]


def test_every_member_keeps_the_bounds_it_was_found_under(
    evaluator: Evaluator, operands: Operands, unmapped: None
) -> None:
    settings = Settings(mae=(3.0, 20.0, 150.0), generations=4000, bias=0.05, wce_factor=8)
    search = begin(evaluator, operands, settings)
    search.run(rounds(2), lambda state: None)
    assert len(search.state.archive.members) >= 2
    for one in search.state.archive.members:
        bounds = settings.bounds(settings.mae.index(one.target_mae))
        own = Cell("member", "evolved", True, one.netlist)
        error = (own.table - own.exact).astype(int)
        assert operands.mean(np.abs(error)) <= bounds.mae and abs(operands.mean(error)) <= bounds.bias
        assert np.abs(error).max() <= bounds.wce
        assert not own.table[0].any() and not own.table[:, 0].any()


def member(energy: float, mae: float, bias: float = 0.0, wce: int = 1, zero: bool = True) -> Member:
    return Member(cell("exact8s").netlist, Measured(energy, 0, 0, 0, mae, 0, bias, wce), zero, "x", mae, 0)


POINTS = st.lists(
    st.builds(member, st.integers(1, 6), st.integers(0, 6), st.integers(-2, 2), st.integers(1, 3), st.booleans()),
    max_size=25,
)


@given(POINTS, st.integers(0, 6), st.integers(0, 2), st.integers(1, 3), st.booleans())
def test_an_archive_never_loses_the_best_under_any_bounds(
    points: list[Member], mae: int, bias: int, wce: int, zero: bool
) -> None:
    archive, bounds = Archive(), Bounds(mae, bias, wce, zero)
    for one in points:
        archive.offer(one)
    fitting = [one.measured.objective_fj for one in points if one.keeps(bounds)]
    best = archive.best(bounds)
    assert (best.measured.objective_fj if best else None) == (min(fitting) if fitting else None)


@given(POINTS)
def test_the_front_falls_in_energy_and_rises_in_error(points: list[Member]) -> None:
    archive = Archive()
    for one in points:
        archive.offer(one)
    front = [(one.measured.mae, one.measured.objective_fj) for one in archive.front()]
    assert front == sorted(front) and [e for _, e in front] == sorted({e for _, e in front}, reverse=True)
    for one in points:
        assert any(mae <= one.measured.mae and energy <= one.measured.objective_fj for mae, energy in front)


def test_walks_start_from_the_seed_of_the_best_objective_and_not_from_one_far_behind(
    evaluator: Evaluator, operands: Operands, unmapped: None
) -> None:
    search = begin(evaluator, operands, replace(SETTINGS, mae=(60.0,)), "exact8s,exact8u,drum8s_k6")
    scores = {seed.name: seed.score for seed in search.seeds}
    assert scores["drum8s_k6"].energy_fj > 1.2 * scores["exact8s"].energy_fj
    search.run(rounds(6), lambda state: None)
    assert {one.seed_cell for one in search.state.archive.members} <= {"exact8s", "exact8u_on_magnitudes"}


def test_bounds_that_no_seed_keeps_name_the_nearest(evaluator: Evaluator, operands: Operands) -> None:
    with pytest.raises(UserError, match=r"no seed cell keeps MAE <= 5, .*nearest: truncated8s_k6 \(MAE .*exact cell"):
        begin(evaluator, operands, seeds="truncated8s_k[67]")
    with pytest.raises(UserError, match="not zero for zero operands"):
        begin(evaluator, operands, replace(SETTINGS, mae=(500.0,), bias=1.0, wce_factor=60), seeds="truncated8s_k6_c1")


@pytest.mark.parametrize(
    "wrong",
    [{"mae": ()}, {"mae": (0.0,)}, {"mae": (5.0, 2.0)}, {"mae": (2.0, 2.0)}, {"wce": 0}, {"wce": 40000}, {"bias": -1.0},
     {"mae": (float("nan"),)}, {"generations": 3}, {"children": 0}, {"mutations": 0}, {"seed": -1},
     {"clock_mhz": 0.0}, {"bit_fj": -1.0}],
)  # fmt: skip
def test_settings_out_of_range_are_refused(wrong: dict) -> None:
    with pytest.raises(UserError):
        Settings(**wrong)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"walk": null, "archive": [{}], "statistics": {}}'])
def test_a_damaged_state_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "state.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"state\.json: the state of an evolution is damaged"):
        State.load(path)
