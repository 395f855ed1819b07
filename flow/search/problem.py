"""The search problem: slots, choices, what a choice costs, and how an assignment is judged."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

Assignment = dict[str, str]  # layer -> cell


@dataclass(frozen=True)
class Problem:
    """Choose one of A cells for each of S layers.

    ``slots`` layer names, by falling energy share; ``choices`` cell names, the exact one first.
    ``energy`` float [S, A], nJ an inference of this layer on this cell in an array of its own, guides
    the policy; ``damage`` float [S, A], predicted rise of the loss. ``total_energy`` is what a whole
    choice costs (layers share tiles, so it need not be the sum); ``accuracy`` measures an assignment's
    top-1 on validation images.
    """

    slots: tuple[str, ...]
    choices: tuple[str, ...]
    energy: np.ndarray  # [S, A]
    damage: np.ndarray  # [S, A]
    accuracy: Callable[[Mapping[str, str]], float]
    total_energy: Callable[[tuple[int, ...]], float] | None = None
    _seen: dict[tuple[int, ...], tuple[float, float]] = field(default_factory=dict)

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

    def evaluate(self, choice: tuple[int, ...]) -> tuple[float, float]:
        """(top-1 on validation, energy in nJ), measured once a choice."""
        if choice not in self._seen:
            self._seen[choice] = (self.accuracy(self.assignment(choice)), self.energy_of(choice))
        return self._seen[choice]
