"""The search problem: slots, choices, what a choice costs, and how an assignment is judged."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

Assignment = dict[str, str]  # layer -> cell


@dataclass(frozen=True)
class Judgement:
    """What an assignment does to the outputs on the search images, and what it costs.

    ``divergence`` from exact int8's outputs (Kullback-Leibler, nats an image) is what the search lowers: top-1
    needs several times as many images for the same verdict. ``accuracy`` is top-1, a fraction, to look at.
    """

    divergence: float
    accuracy: float
    energy_nj: float


@dataclass(frozen=True)
class Problem:
    """Choose one of A cells for each of S layers.

    ``slots`` layer names, by falling energy share; ``choices`` cell names, the exact one first.
    ``energy`` float [S, A], nJ an inference of this layer on this cell in an array of its own, guides
    the policy; ``damage`` float [S, A], predicted rise of the loss. ``total_energy`` is what a whole
    choice costs (layers share tiles, so it need not be the sum); ``judge`` measures an assignment's
    divergence (nats) and top-1 on the search images.
    """

    slots: tuple[str, ...]
    choices: tuple[str, ...]
    energy: np.ndarray  # [S, A]
    damage: np.ndarray  # [S, A]
    judge: Callable[[Mapping[str, str]], tuple[float, float]]
    total_energy: Callable[[tuple[int, ...]], float] | None = None
    _seen: dict[tuple[int, ...], Judgement] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = (len(self.slots), len(self.choices))
        if self.energy.shape != shape or self.damage.shape != shape:
            raise ValueError(f"energy {self.energy.shape} and damage {self.damage.shape} must be {shape}")

    def assignment(self, choice: tuple[int, ...]) -> Assignment:
        """Choice indices [S] as layer -> cell name."""
        return {slot: self.choices[index] for slot, index in zip(self.slots, choice, strict=True)}

    def energy_of(self, choice: tuple[int, ...]) -> float:
        """Energy of one inference, nJ."""
        if self.total_energy is not None:
            return self.total_energy(choice)
        return float(self.energy[np.arange(len(self.slots)), list(choice)].sum())

    def damage_of(self, choice: tuple[int, ...]) -> float:
        """Predicted rise of the loss; layers add up."""
        return float(self.damage[np.arange(len(self.slots)), list(choice)].sum())

    @property
    def exact(self) -> tuple[int, ...]:
        """The choice of the exact cell in every layer."""
        return (0,) * len(self.slots)

    def choice(self, assignment: Mapping[str, str]) -> tuple[int, ...]:
        """An assignment as indices [S]."""
        return tuple(self.choices.index(assignment[slot]) for slot in self.slots)

    def evaluate(self, choice: tuple[int, ...]) -> Judgement:
        """What a choice does and costs, measured once."""
        if choice not in self._seen:
            self._seen[choice] = Judgement(*self.judge(self.assignment(choice)), self.energy_of(choice))
        return self._seen[choice]
