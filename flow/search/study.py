"""Run a search as an Optuna study: storage, resume after a kill, samplers behind one option."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from slipstick.errors import UnknownName, UserError

from .mcts import TRADE_OFF, MctsConfig, MctsSampler, parameters
from .problem import Assignment, Problem

SAMPLERS = ("mcts", "random", "nsga2", "tpe")
Progress = Callable[[int, int, float, float], None]


@dataclass(frozen=True)
class Point:
    """One evaluated assignment."""

    number: int
    accuracy: float
    energy_nj: float
    assignment: Assignment


@dataclass(frozen=True)
class SearchResult:
    """Every evaluated assignment, in order, and the non-dominated ones by rising energy."""

    points: list[Point]
    front: list[Point]

    def within(self, least_accuracy: float) -> list[Point]:
        """Assignments of at least this accuracy, by rising energy."""
        good = [point for point in self.points if point.accuracy >= least_accuracy]
        return sorted(good, key=lambda point: (point.energy_nj, -point.accuracy))


def sampler(name: str, problem: Problem, seed: int, config: MctsConfig) -> optuna.samplers.BaseSampler:
    """The sampler of this name; UnknownName for another."""
    if name == "mcts":
        return MctsSampler(problem, config, seed)
    if name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    if name == "nsga2":
        return optuna.samplers.NSGAIISampler(population_size=16, seed=seed)
    if name == "tpe":
        return optuna.samplers.TPESampler(seed=seed, multivariate=True)
    raise UnknownName("sampler", name, SAMPLERS)


@contextmanager
def _quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def search(
    problem: Problem,
    *,
    trials: int,
    sampler_name: str = "mcts",
    seed: int = 0,
    storage: Path | None = None,
    config: MctsConfig | None = None,
    progress: Progress = lambda done, total, accuracy, energy: None,
) -> SearchResult:
    """Evaluate ``trials`` assignments, the all-exact one first; with ``storage``, go on where a kill stopped.

    The study's name binds sampler, seed, slots and choices: a storage file of another search raises
    UserError.
    """
    if trials < 1:
        raise UserError(f"a search needs at least one trial, not {trials}")
    with _quiet():
        config = config or MctsConfig()
        study = _open(problem, sampler_name, seed, storage, config)
        finished = [t for t in study.get_trials(deepcopy=False) if t.state == TrialState.COMPLETE]
        space = parameters(problem, config if sampler_name == "mcts" else None)
        if not finished:
            exact = dict.fromkeys(problem.slots, problem.choices[0])
            study.enqueue_trial(exact | ({TRADE_OFF: 0} if TRADE_OFF in space else {}), skip_if_exists=True)
        for done in range(len(finished), trials):
            trial = study.ask(fixed_distributions=dict(space))
            choice = tuple(problem.choices.index(trial.params[slot]) for slot in problem.slots)
            accuracy, energy = problem.evaluate(choice)
            study.tell(trial, (accuracy, energy))
            progress(done + 1, trials, accuracy, energy)
        return _result(problem, study)


def _open(problem: Problem, sampler_name: str, seed: int, storage: Path | None, config: MctsConfig) -> optuna.Study:
    backend = None
    if storage is not None:
        try:
            storage.parent.mkdir(parents=True, exist_ok=True)
            backend = JournalStorage(JournalFileBackend(str(storage)))
        except OSError as error:
            raise UserError(f"cannot write the study {storage}: {error.strerror or error}") from error
    study = optuna.create_study(
        study_name=f"slipstick-{sampler_name}-{seed}",
        storage=backend,
        sampler=sampler(sampler_name, problem, seed, config),
        directions=("maximize", "minimize"),
        load_if_exists=True,
    )
    space = {"slots": list(problem.slots), "choices": list(problem.choices)}
    if study.user_attrs.get("space", space) != space:
        raise UserError(f"{storage}: holds a search over other layers or cells; give another output folder")
    study.set_user_attr("space", space)
    return study


def _result(problem: Problem, study: optuna.Study) -> SearchResult:
    points = [
        Point(t.number, t.values[0], t.values[1], {slot: t.params[slot] for slot in problem.slots})
        for t in study.get_trials(deepcopy=False)
        if t.state == TrialState.COMPLETE
    ]
    return SearchResult(points, front(points))


def front(points: list[Point]) -> list[Point]:
    """Non-dominated points by rising energy; of equals, the first."""
    result: list[Point] = []
    best = -np.inf
    for point in sorted(points, key=lambda p: (p.energy_nj, -p.accuracy, p.number)):
        if point.accuracy > best:
            result.append(point)
            best = point.accuracy
    return result
