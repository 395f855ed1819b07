"""The confirmation: gentlest first, stopped by the first doubt, the promise kept in nineteen of twenty cases."""

from types import SimpleNamespace

import numpy as np
import pytest

from slipstick.errors import UserError
from slipstick.flow.job import confirm as module
from slipstick.flow.job.confirm import CANDIDATES, candidates, check_confirmable, confirm
from slipstick.flow.search.study import Point, SearchResult, front

IMAGES = 1000


def result(divergences: list[float]) -> SearchResult:
    """Points whose energy falls from 100 as their divergence rises; the last trial is the exact one."""
    points = [Point(n, d, 0.8, 90.0 - n, {"layer": str(n)}) for n, d in enumerate(divergences)]
    exact = Point(len(points), 0.0, 0.87, 100.0, {"layer": "exact"})
    return SearchResult([*points, exact], front([*points, exact]), exact)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch):
    """Answers of the model, by assignment: bool [N] each; returns what was asked, in order."""
    asked: list[str] = []

    def use(right: dict[str, np.ndarray]) -> list[str]:
        monkeypatch.setattr(module, "assign_", lambda model, assignment: asked.append(assignment["layer"]))
        monkeypatch.setattr(module, "correct", lambda loaded, images: right[asked[-1]])
        return asked

    return use


BENCH = SimpleNamespace(loaded=SimpleNamespace(module=None), images=SimpleNamespace(validation=None))


def losing(count: int) -> np.ndarray:
    """Right on all images but ``count``."""
    right = np.ones(IMAGES, bool)
    right[:count] = False
    return right


def test_the_cheapest_before_the_first_doubt_is_chosen(answers) -> None:
    asked = answers({"exact": losing(0), "0": losing(0), "1": losing(3), "2": losing(30), "3": losing(0)})
    chosen, tested = confirm(BENCH, result([0.01, 0.02, 0.04, 0.08]), 1.0, 0.2, lambda done, total: None)
    assert chosen.number == 1 and asked == ["exact", "0", "1", "2"]  # the fourth is never looked at
    assert [one.paired.lost for one in tested] == [0, 3, 30]
    assert tested[1].bound <= 0.01 < tested[2].bound


def test_without_a_candidate_that_passes_all_stays_exact(answers) -> None:
    answers({"exact": losing(0), "0": losing(20)})
    chosen, _ = confirm(BENCH, result([0.01]), 1.0, 0.2, lambda done, total: None)
    assert chosen.assignment == {"layer": "exact"}


def test_a_promise_is_broken_in_at_most_one_of_twenty_cases(answers) -> None:
    """Every candidate truly loses more than allowed, each a little more: any choice but the exact one breaks it."""
    rng, broken, runs = np.random.default_rng(0), 0, 600
    found = result([0.004 * 2**n for n in range(5)])
    for _ in range(runs):
        luck = rng.random(IMAGES)
        right = {str(n): luck > 0.0301 + 0.002 * n for n in range(5)}  # the same images are hard for all
        gained = rng.random(IMAGES) < 0.02
        answers({"exact": ~gained} | {name: own | gained for name, own in right.items()})
        broken += confirm(BENCH, found, 1.0, 0.2, lambda done, total: None)[0].number < 5
    assert broken / runs <= 0.05 + 2.5 * (0.05 * 0.95 / runs) ** 0.5


def test_candidates_are_few_of_the_front_and_spread() -> None:
    found = result([0.0005 * n * n for n in range(1, 40)])
    few = candidates(found, 0.2)
    assert 4 <= len(few) <= CANDIDATES and all(p.divergence <= 0.2 for p in few)
    assert [p.divergence for p in few] == sorted(p.divergence for p in few)
    assert [p.energy_nj for p in few] == sorted((p.energy_nj for p in few), reverse=True)
    assert candidates(result([]), 0.2) == []


def test_too_few_images_are_told_with_how_many_would_do() -> None:
    with pytest.raises(UserError, match="200 validation images cannot .* --max-loss 1 points at 95%.* at least 268"):
        check_confirmable(200, 1.0)
    check_confirmable(268, 1.0)
