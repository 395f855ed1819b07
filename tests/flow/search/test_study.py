"""The search: resume, seeds, validity of suggestions, and that it beats blind sampling."""

from dataclasses import replace
from pathlib import Path

import moocore
import numpy as np
import pytest

from slipstick.errors import UnknownName, UserError
from slipstick.flow.search.journal import open_journal
from slipstick.flow.search.mcts import Surrogate, hypervolume_scores
from slipstick.flow.search.problem import Problem
from slipstick.flow.search.study import SAMPLERS, SearchResult, front, search

CHOICES = ("exact", "gentle", "middle", "harsh", "cheap")
ENERGY = np.array([1.0, 0.9, 0.8, 0.65, 0.5])
HARM = np.array([0.0, 0.02, 0.2, 1.0, 5.0])
FIRST = [(1,) * 24, (0, 4) * 12, (2,) * 24]


def synthetic(slots: int = 24, seed: int = 0, calls: list | None = None) -> Problem:
    """A network of independent layers whose true damage differs from the predicted one by up to 3 times."""
    rng = np.random.default_rng(seed)
    energy = rng.dirichlet(np.ones(slots))[:, None] * ENERGY
    damage = 10 ** rng.uniform(-3, -0.5, slots)[:, None] * HARM
    true = damage * np.exp(rng.uniform(-1, 1, damage.shape))
    names = tuple(f"layer{i}" for i in range(slots))

    def judge(assignment) -> tuple[float, float]:
        assert list(assignment) == list(names)
        if calls is not None:
            calls.append(dict(assignment))
        divergence = sum(true[i, CHOICES.index(assignment[name])] for i, name in enumerate(names))
        return round(divergence, 5), 0.85 * float(np.exp(-divergence))

    return Problem(names, CHOICES, energy, damage, judge)


def volume(result: SearchResult) -> float:
    """Of the divergence up to that of interest and the energy up to that of all exact: what users look at."""
    points = [[p.divergence / 0.15, p.energy_nj] for p in result.points]
    return float(moocore.hypervolume(points, ref=[1, 1.0001]))


def killed_at(trial: int, calls: list) -> Problem:
    """The synthetic problem whose judge dies in the trial of this number, leaving it running."""
    problem = synthetic(calls=calls)

    def judge(assignment) -> tuple[float, float]:
        if len(calls) == trial:
            raise KeyboardInterrupt
        return problem.judge(assignment)

    return replace(problem, judge=judge)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_trial_is_a_whole_assignment_and_the_first_is_exact(sampler: str) -> None:
    result = search(synthetic(), trials=20, sampler_name=sampler)
    assert len(result.points) == 20
    assert set(result.points[0].assignment.values()) == {"exact"}
    assert all(set(p.assignment.values()) <= set(CHOICES) and len(p.assignment) == 24 for p in result.points)


def test_mcts_finds_more_hypervolume_than_every_other_sampler_at_equal_budget() -> None:
    medians = {
        sampler: np.median(
            [volume(search(synthetic(seed=s), trials=40, sampler_name=sampler, seed=s)) for s in range(5)]
        )
        for sampler in SAMPLERS
    }
    assert all(medians["mcts"] > 1.1 * medians[other] for other in SAMPLERS if other != "mcts"), medians


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_search_killed_within_a_trial_goes_on_where_it_stopped(sampler: str, seed: int, tmp_path: Path) -> None:
    own = {"trials": 12, "sampler_name": sampler, "seed": seed}
    whole, first = search(synthetic(), first=FIRST, **own), seed * 2  # within the first trial too
    calls: list = []
    with open_journal(tmp_path / "study") as storage, pytest.raises(KeyboardInterrupt):
        search(killed_at(first, calls), storage=storage, first=FIRST, **own)
    assert len(calls) == first
    with open_journal(tmp_path / "study") as storage:
        resumed = search(synthetic(calls=calls), storage=storage, first=FIRST, **own)
    assert len(calls) <= 12 and len(resumed.points) == 12
    assert set(resumed.exact.assignment.values()) == {"exact"} and resumed.exact.divergence == 0
    given = [tuple(CHOICES.index(cell) for cell in p.assignment.values()) for p in resumed.points[:4]]
    assert given == [(0,) * 24, *FIRST]
    if sampler == "mcts":  # its randomness is a function of (seed, trials done): resuming changes nothing
        assert [p.assignment for p in resumed.points] == [p.assignment for p in whole.points]


def test_a_resumed_random_search_does_not_draw_the_same_again(tmp_path: Path) -> None:
    for trials in (5, 9):
        with open_journal(tmp_path / "study") as storage:
            result = search(synthetic(), trials=trials, sampler_name="random", storage=storage)
    assert len({tuple(p.assignment.values()) for p in result.points}) == 9


def test_mcts_hardly_repeats_itself() -> None:
    result = search(synthetic(), trials=40)
    assert len({tuple(p.assignment.values()) for p in result.points}) >= 38


def test_same_seed_same_trials_and_another_seed_others() -> None:
    one, two, other = (search(synthetic(), trials=15, seed=seed) for seed in (3, 3, 4))
    assert [p.assignment for p in one.points] == [p.assignment for p in two.points]
    assert [p.assignment for p in one.points] != [p.assignment for p in other.points]


def test_a_study_of_other_layers_is_refused(tmp_path: Path) -> None:
    with open_journal(tmp_path / "study") as storage:
        search(synthetic(4), trials=2, storage=storage)
        with pytest.raises(UserError, match="place of layer: layer4: none there, 4 now"):
            search(synthetic(5), trials=2, storage=storage)


def test_every_setting_that_differs_is_named_with_both_values(tmp_path: Path) -> None:
    settings = {"clock MHz": 100.0, "number of search images": 50, "cell": {"exact": "abc", "cheap": "def"}}
    with open_journal(tmp_path / "study") as storage:
        search(synthetic(), trials=2, storage=storage, settings=settings)
        other = settings | {"number of search images": 20, "cell": {"exact": "abc", "cheap": "xyz"}}
        with pytest.raises(UserError) as refused:
            search(synthetic(), trials=3, storage=storage, settings=other)
        assert "number of search images: 50 there, 20 now; cell: cheap: def there, xyz now" in str(refused.value)
        assert "clock" not in str(refused.value) and "exact" not in str(refused.value)
        assert len(search(synthetic(), trials=3, storage=storage, settings=settings).points) == 3


def test_unknown_sampler_shows_the_known_ones() -> None:
    with pytest.raises(UnknownName, match="near names: .*mcts"):
        search(synthetic(), trials=2, sampler_name="mctz")


def test_no_trials_is_refused() -> None:
    with pytest.raises(UserError, match="number of trials 0: must be from 1"):
        search(synthetic(), trials=0)


def test_front_is_the_non_dominated_set_by_rising_energy() -> None:
    result = search(synthetic(), trials=30)
    points = np.array([[p.divergence, p.energy_nj] for p in result.points])
    wanted = {tuple(row) for row in points[moocore.is_nondominated(points)]}
    assert {(p.divergence, p.energy_nj) for p in result.front} == wanted
    assert [p.energy_nj for p in result.front] == sorted(p.energy_nj for p in front(result.points))


def test_scores_put_the_front_above_everything_it_dominates() -> None:
    points = np.array([[0.1, 1.0], [0.2, 0.5], [0.3, 0.6], [0.9, 1.0], [1.7, 0.2]])
    scores = hypervolume_scores(points)
    assert scores[:2].min() >= 0.5 > scores[2] > scores[3] > scores[4] >= 0


def test_surrogate_is_monotone_and_fits_monotone_data() -> None:
    surrogate = Surrogate([0.0, 1.0, 2.0, 4.0], [0.0, 0.1, 0.05, 0.4])
    grid = surrogate(np.linspace(0, 8, 50))
    assert (np.diff(grid) >= -1e-12).all()
    np.testing.assert_allclose(surrogate(np.array([0.0, 1.0, 2.0, 4.0])), [0, 0.075, 0.075, 0.4])
