"""What the cost model answers with: figures at three levels that always stand together."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Levels:
    """A figure at the three levels that always stand together."""

    multiplier: float
    pe: float
    array: float


@dataclass(frozen=True)
class ArrayEnergy:
    """Energy per MAC of a whole array, fJ, by part; weights loaded and pipeline filled once a tile."""

    elements_fj: float
    skew_fj: float
    accumulate_fj: float
    control_fj: float
    load_fj: float
    idle_fj: float

    @property
    def total_fj(self) -> float:
        """Sum of the parts."""
        return sum(vars(self).values())


@dataclass(frozen=True)
class InferenceEnergy:
    """Energy of one inference in nJ: in total and by layer, with the best exact designs' beside it.

    Each level of the exact figures is that of the exact candidate which is best at this level, so an
    exact array may show a small negative saving at one of them.
    """

    total_nj: Levels
    layers_nj: dict[str, Levels]
    exact_total_nj: Levels
    exact_layers_nj: dict[str, Levels]
    requantise_nj: float
    notes: tuple[str, ...]

    @property
    def saving(self) -> Levels:
        """Fractions saved against the exact baseline."""
        pairs = zip(vars(self.total_nj).values(), vars(self.exact_total_nj).values(), strict=True)
        return Levels(*(1 - own / exact if exact else 0.0 for own, exact in pairs))
