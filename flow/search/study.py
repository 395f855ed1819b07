"""Run a search as an Optuna study: storage, resume after a kill, samplers behind one option."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import moocore
import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from slipstick.errors import UnknownName, UserError
from slipstick.limits import COUNT

from .mcts import MctsConfig, MctsSampler, parameters
from .problem import Assignment, Problem

SAMPLERS = ("mcts", "random", "nsga2", "tpe")
ACCURACY, SETTINGS = "accuracy", "settings"
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Point:
    """One evaluated assignment; figures as in ``Judgement``."""

    number: int
    divergence: float
    accuracy: float
    energy_nj: float
    assignment: Assignment


@dataclass(frozen=True)
class SearchResult:
    """Every evaluated assignment, in order, the non-dominated ones by rising energy, and that of exact cells alone."""

    points: list[Point]
    front: list[Point]
    exact: Point


def check_sampler(name: str) -> None:
    """Raises UnknownName for a sampler that there is not."""
    if name not in SAMPLERS:
        raise UnknownName("sampler", name, SAMPLERS)


def _sampler(name: str, problem: Problem, seed: int, config: MctsConfig, done: int) -> optuna.samplers.BaseSampler:
    """The sampler of this name, after ``done`` trials: a resumed one must not draw the first ones' numbers again."""
    if name == "mcts":
        return MctsSampler(problem, config, seed)
    own = seed if done == 0 else int(np.random.SeedSequence((seed, done)).generate_state(1)[0])
    if name == "random":
        return optuna.samplers.RandomSampler(seed=own)
    if name == "nsga2":
        return optuna.samplers.NSGAIISampler(population_size=16, seed=own)
    return optuna.samplers.TPESampler(seed=own, multivariate=True)


@contextmanager
def _quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def study_name(sampler_name: str, seed: int) -> str:
    """Name of the study of a sampler and seed in its file."""
    return f"slipstick-{sampler_name}-{seed}"


def check_settings(storage: BaseStorage, name: str, settings: Mapping[str, Any]) -> None:
    """UserError, naming each difference, if the study ``name`` was judged under other settings (JSON values)."""
    for summary in storage.get_all_studies():
        if summary.study_name == name and SETTINGS in summary.user_attrs:
            _compare(summary.user_attrs[SETTINGS], settings)


def _compare(kept: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    there, now = _flat(kept), _flat(json.loads(json.dumps(settings)))  # as a journal keeps them: tuples are lists
    roots = tuple(settings)
    differ = [
        key
        for key in dict.fromkeys((*there, *now))
        if there.get(key) != now.get(key) and key.partition(": ")[0] in roots
    ]
    if differ:
        words = "; ".join(f"{key}: {there.get(key, 'none')} there, {now.get(key, 'none')} now" for key in differ)
        raise UserError(f"the study was made under other settings ({words}); give another --out, or those settings")


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings, those that are mappings entry by entry, so that a difference names what differs."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat.update({f"{key}: {name}": own for name, own in value.items()} if isinstance(value, dict) else {key: value})
    return flat


def search(
    problem: Problem,
    *,
    trials: int,
    sampler_name: str = "mcts",
    seed: int = 0,
    storage: BaseStorage | None = None,
    settings: Mapping[str, Any] | None = None,
    first: Sequence[tuple[int, ...]] = (),
    config: MctsConfig | None = None,
    progress: Progress = lambda done, total: None,
) -> SearchResult:
    """Evaluate ``trials`` assignments: all exact, then those of ``first``, then what the sampler suggests.

    With ``storage`` it goes on where a kill stopped: what had not ended is evaluated anew. ``settings``, with slots
    and choices, is all that decides a value: UserError where the study there was made under others.
    """
    COUNT.check("the number of trials", trials)
    check_sampler(sampler_name)
    with _quiet():
        config = config or MctsConfig()
        numbered = [dict(zip(own, range(len(own)), strict=True)) for own in (problem.slots, problem.choices)]
        bound = {**(settings or {}), "place of layer": numbered[0], "place of cell": numbered[1]}
        name = study_name(sampler_name, seed)
        if storage is not None:
            check_settings(storage, name, bound)
        study = optuna.create_study(
            study_name=name, storage=storage, directions=("minimize", "minimize"), load_if_exists=True
        )
        study.set_user_attr(SETTINGS, bound)
        _fail_unfinished(study)
        finished = _complete(study)
        study.sampler = _sampler(sampler_name, problem, seed, config, len(finished))
        known = {problem.choice(trial.params) for trial in finished}
        waiting = [choice for choice in dict.fromkeys((problem.exact, *first)) if choice not in known]
        space: dict[str, BaseDistribution] = {**parameters(problem, config if sampler_name == "mcts" else None)}
        for done in range(len(finished), max(trials, len(finished) + (problem.exact not in known))):
            if waiting:
                study.enqueue_trial(_given(study.sampler, problem, waiting.pop(0)))
            trial = study.ask(fixed_distributions=space)
            judged = problem.evaluate(problem.choice(trial.params))
            trial.set_user_attr(ACCURACY, judged.accuracy)
            study.tell(trial, (judged.divergence, judged.energy_nj))
            progress(done + 1, trials)
        return _result(problem, study)


def _given(sampler: optuna.samplers.BaseSampler, problem: Problem, choice: tuple[int, ...]) -> dict[str, Any]:
    return sampler.given(choice) if isinstance(sampler, MctsSampler) else dict(problem.assignment(choice))


def _fail_unfinished(study: optuna.Study) -> None:
    """Close what a kill left waiting or running: nobody else works on this study, and it is evaluated anew."""
    while study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        study.ask()
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)


def _complete(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def _result(problem: Problem, study: optuna.Study) -> SearchResult:
    points = [
        Point(t.number, t.values[0], t.user_attrs[ACCURACY], t.values[1], {s: t.params[s] for s in problem.slots})
        for t in _complete(study)
    ]
    exact = next(point for point in points if problem.choice(point.assignment) == problem.exact)
    return SearchResult(points, front(points), exact)


def front(points: list[Point]) -> list[Point]:
    """Non-dominated points by rising energy; of equals, the first."""
    ordered = sorted(points, key=lambda p: (p.energy_nj, p.divergence, p.number))
    values = np.array([(p.energy_nj, p.divergence) for p in ordered])
    kept = moocore.is_nondominated(values, keep_weakly=False)
    return [point for point, good in zip(ordered, kept, strict=True) if good]
