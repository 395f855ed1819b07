"""Monte Carlo tree search as an Optuna sampler.

A trial suggests a trade-off and then one cell a layer, in order: a path in a tree. The tree is
rebuilt from the study's trials, so resuming and many workers come with the study. Selection is PUCT
(Silver et al., 2017) with progressive widening (Coulom, 2007); the prior and the rollouts follow a
hardware-driven policy: energy saved against predicted damage, at the trade-off of the path.
Letters: S slots, A choices, T trade-offs.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import moocore
import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from .problem import Problem

TRADE_OFF = "trade-off"
REFERENCE = (1.05, 1.05)
SHARPNESS = 20.0  # how fast a score falls with the distance by which the front dominates a trial


@dataclass(frozen=True)
class MctsConfig:
    """``trade_offs`` weights of damage at the root, ``exploration`` of PUCT, ``widening`` children ~
    visits^widening below the root, ``temperature`` of the policy, ``rollouts`` completions drawn for
    each trial, ``interest`` divergence (nats) beyond which an assignment is worthless."""

    trade_offs: int = 12
    exploration: float = 0.7
    widening: float = 0.5
    temperature: float = 0.35
    rollouts: int = 64
    startup: int = 6
    interest: float = 0.15


def parameters(problem: Problem, config: MctsConfig | None = None) -> dict[str, CategoricalDistribution]:
    """The search space of a problem: the trade-off (for MCTS only), then one categorical a slot."""
    space = {} if config is None else {TRADE_OFF: CategoricalDistribution(tuple(range(config.trade_offs)))}
    return space | {slot: CategoricalDistribution(problem.choices) for slot in problem.slots}


def hypervolume_scores(points: np.ndarray) -> np.ndarray:
    """Score of every trial in [0, 1]: points [N, 2] to minimise, of interest inside the unit square.

    On the front: a half plus half its share of the greatest exclusive hypervolume; off it: less than
    a half, falling with the distance by which it is dominated or outside.
    """
    front = moocore.is_nondominated(points, keep_weakly=False) & (points <= 1).all(1)
    scores = np.zeros(len(points))
    members = np.flatnonzero(front)
    if len(members):
        contribution = moocore.hv_contributions(points[members], ref=REFERENCE)
        scores[members] = 0.5 + 0.5 * contribution / max(float(contribution.max()), 1e-12)
    for index in np.flatnonzero(~front):
        outside = float((points[index] - 1).max())
        behind = float((points[index] - points[members]).min(axis=1).max()) if len(members) else 0.0
        scores[index] = 0.5 * math.exp(-SHARPNESS * max(outside, behind, 0.0))
    return scores


class Surrogate:
    """Divergence as a monotone function of predicted damage, learned from the trials.

    Isotonic regression (pool adjacent violators) on the damage of evaluated choices.
    """

    def __init__(self, damage: Sequence[float], divergence: Sequence[float]) -> None:
        order = np.argsort(damage, kind="stable")
        blocks: list[list[float]] = []  # mean, weight
        for value in np.asarray(divergence, float)[order]:
            blocks.append([value, 1.0])
            while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
                mean, weight = blocks.pop()
                total = blocks[-1][1] + weight
                blocks[-1] = [(blocks[-1][0] * blocks[-1][1] + mean * weight) / total, total]
        self.damage = np.asarray(damage, float)[order]
        self.divergence = np.repeat([mean for mean, _ in blocks], [int(weight) for _, weight in blocks])

    def __call__(self, damage: np.ndarray) -> np.ndarray:
        """Predicted divergence at ``damage`` [N]; proportional beyond the greatest damage seen."""
        top = max(float(self.damage[-1]), 1e-12)
        beyond = np.maximum(damage / top, 1.0)
        return np.interp(damage, self.damage, self.divergence) * beyond


class MctsSampler(BaseSampler):
    """Suggests every parameter of a trial at once: a path through the tree, completed by a rollout."""

    def __init__(self, problem: Problem, config: MctsConfig | None = None, seed: int = 0) -> None:
        self.problem, self.config, self.seed = problem, config or MctsConfig(), seed
        self._fallback = RandomSampler(seed=seed)
        self._policy = self._policies()

    def _policies(self) -> np.ndarray:
        """Probability of every choice: float [T, S, A]; Boltzmann in energy + weight * damage.

        The weight of trade-off t is the least at which the best choice stays within a budget of damage;
        budgets double from one trade-off to the next, up to ``interest``.
        """
        energy = self.problem.energy / self.problem.energy.sum(0).max()
        damage = self.problem.damage
        weights = np.logspace(-4, 8, 240)
        best = (energy[None] + weights[:, None, None] * damage[None]).argmin(2)  # [240, S]
        spent = np.take_along_axis(damage, best.T, axis=1).sum(0)
        budgets = self.config.interest / 2.0 ** np.arange(self.config.trade_offs)[::-1]
        chosen = np.array([weights[np.argmax(spent <= budget)] if (spent <= budget).any() else weights[-1]
                           for budget in budgets])  # fmt: skip
        cost = energy[None] + chosen[:, None, None] * damage[None]  # [T, S, A]
        cost -= cost.min(axis=2, keepdims=True)
        spread = self.config.temperature * np.median(energy.max(1) - energy.min(1)).clip(1e-12)
        policy = np.exp(-np.minimum(cost / spread, 60))  # no choice is ever impossible
        return policy / policy.sum(axis=2, keepdims=True)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All parameters belong together."""
        return dict(parameters(self.problem, self.config))

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Select, expand and roll out; draws from a generator seeded by (seed, trials done): kills change nothing."""
        done = [t for t in study.get_trials(deepcopy=False) if t.state == TrialState.COMPLETE]
        rng = np.random.default_rng((self.seed, len(done)))
        paths = [self._path(t.params) for t in done]
        known = {path[1:] for path in paths}
        scores = self._scores(done)
        prefix = self._select(paths, scores, rng) if done else (int(rng.integers(self.config.trade_offs)),)
        choice = self._roll_out(prefix, done, known, rng)
        values = {TRADE_OFF: prefix[0]}
        return values | self.problem.assignment(choice)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Parameters outside the problem: uniformly at random."""
        return self._fallback.sample_independent(study, trial, param_name, param_distribution)

    def given(self, choice: tuple[int, ...]) -> dict[str, Any]:
        """Parameters of a choice found elsewhere, under the trade-off whose policy finds it likeliest."""
        slots = np.arange(len(choice))
        likely = np.log(self._policy[:, slots, list(choice)]).sum(1)  # [T]
        return {TRADE_OFF: int(likely.argmax())} | self.problem.assignment(choice)

    def _path(self, params: Mapping[str, Any]) -> tuple[int, ...]:
        return (int(params.get(TRADE_OFF, 0)), *self.problem.choice(params))

    def _scores(self, done: list[FrozenTrial]) -> np.ndarray:
        if not done:
            return np.zeros(0)
        return hypervolume_scores(self._scaled(np.array([t.values for t in done])))

    def _scaled(self, values: np.ndarray) -> np.ndarray:
        """(divergence, energy) [N, 2] as shares of the divergence of interest and of the exact energy."""
        return values / (self.config.interest, self.problem.energy_of(self.problem.exact))

    def _select(self, paths: list[tuple[int, ...]], scores: np.ndarray, rng: np.random.Generator) -> tuple[int, ...]:
        """Walk down by PUCT until a node without visits."""
        prefix: tuple[int, ...] = ()
        inside = np.arange(len(paths))
        while len(prefix) < len(self.problem.slots):
            if len(prefix) == 0:
                prior = np.full(self.config.trade_offs, 1 / self.config.trade_offs)
            else:
                prior = self._policy[prefix[0], len(prefix) - 1]
            taken = np.array([paths[i][len(prefix)] for i in inside], int)
            visits = np.bincount(taken, minlength=len(prior))
            value = np.bincount(taken, scores[inside], minlength=len(prior)) / np.maximum(visits, 1)
            value[visits == 0] = scores[inside].mean() if len(inside) else 0.5
            bonus = self.config.exploration * prior * math.sqrt(len(inside) + 1) / (1 + visits)
            width = max(1, math.ceil((len(inside) + 1) ** self.config.widening))
            allowed = np.full(len(prior), not prefix)
            allowed[np.argsort(-prior, kind="stable")[:width]] = True
            upper = np.where(allowed | (visits > 0), value + bonus, -np.inf)
            action = int(rng.choice(np.flatnonzero(upper == upper.max())))
            inside = inside[taken == action]
            prefix += (action,)
            if len(inside) == 0:
                break
        return prefix

    def _roll_out(
        self, prefix: tuple[int, ...], done: list[FrozenTrial], known: set[tuple[int, ...]], rng: np.random.Generator
    ) -> tuple[int, ...]:
        """Complete the path by the policy many times; return the new completion of most promise."""
        fixed = prefix[1:]
        policy = self._policy[prefix[0]]
        drawn = self._draw(fixed, policy, rng)
        fresh = [choice for choice in drawn if choice not in known]
        if not fresh:  # a sharp policy may only find what is known: look one change further
            free = range(len(fixed), policy.shape[0])
            near = [(*drawn[0][:s], a, *drawn[0][s + 1 :]) for s in free for a in range(policy.shape[1])]
            fresh = [choice for choice in dict.fromkeys(near) if choice not in known] or drawn
        if len(done) < self.config.startup:
            return fresh[0]
        return fresh[int(np.argmax(self._predicted_gain(fresh, done)))]

    def _draw(self, fixed: tuple[int, ...], weights: np.ndarray, rng: np.random.Generator) -> list[tuple[int, ...]]:
        """Distinct completions of ``fixed``, the most probable one first; ``weights`` [S, A].

        Half of them use only some of the cells, since every further cell costs a tile of its own.
        """
        drawn = np.empty((self.config.rollouts, len(weights)), int)
        drawn[:, : len(fixed)] = fixed
        allowed = rng.random((len(drawn), weights.shape[1])) < 0.5
        allowed[::2] = True
        allowed[:, list(fixed)] = True
        for row, some in zip(drawn, allowed, strict=True):
            some[rng.integers(len(some))] |= not some.any()
            chances = (weights * some)[len(fixed) :]
            chances = np.where(chances.sum(1, keepdims=True) > 0, chances, some)
            below = np.cumsum(chances, axis=1)
            row[len(fixed) :] = (rng.random((len(below), 1)) >= below / below[:, -1:]).sum(1)
        drawn[0, len(fixed) :] = weights[len(fixed) :].argmax(1)
        return list(dict.fromkeys(tuple(int(x) for x in row) for row in drawn))

    def _predicted_gain(self, fresh: list[tuple[int, ...]], done: list[FrozenTrial]) -> np.ndarray:
        """Hypervolume that each choice would add if the surrogate were right."""
        seen = [self.problem.damage_of(self.problem.choice(t.params)) for t in done]
        surrogate = Surrogate(seen, [t.values[0] for t in done])
        divergence = surrogate(np.array([self.problem.damage_of(choice) for choice in fresh]))
        energy = np.array([self.problem.energy_of(choice) for choice in fresh])
        candidates = self._scaled(np.stack([divergence, energy], axis=1))
        points = self._scaled(np.array([t.values for t in done]))
        volume = moocore.Hypervolume(ref=REFERENCE)
        base = volume(points)
        return np.array([volume(np.vstack([points, c])) - base for c in candidates])
