"""Annealed walks, round after round, one for every bound; what a walk ends with is mapped and goes to the archive.

A state is whole after every slice of a walk, so a run that is stopped goes on where it was, with the same
result as one that was not.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from slipstick.errors import UserError
from slipstick.files import write_text
from slipstick.flow.characterise.operands import Operands
from slipstick.flow.library.liberty import Liberty
from slipstick.limits import CLOCK_MHZ, COUNT, NOT_NEGATIVE, POSITIVE, SEED, Limits, check_fields
from slipstick.rtl.cells.cell import Cell

from .archive import Archive, Member, keeps_zero, measure
from .genome import Genome
from .kernel import WORST_ERROR, Bounds, Evaluator, Rules, Statistics, Walk
from .seeds import Seed, within

SLICES = 20
MAE = Limits(0, WORST_ERROR, above=True)
PRICE = (0.5, 0.05)
"""Energy of the seed that an error as large as the bound is worth, at the start and at the end of a walk."""
TEMPERATURE = (3e-3, 3e-5)
"""Mean rise that a generation accepts, as a fraction of the seed's energy, at the start and at the end."""
BEHIND = 1.1
"""Objective of the last seed that gets walks of its own, as a multiple of the first one's."""
AGAIN = 0.3
"""Share of a walk that one from the archive skips, with its high temperature and price."""


@dataclass(frozen=True)
class Settings:
    """What decides the result of an evolution, beside seeds, operands and library.

    ``mae`` bounds, one walk each a round; ``wce`` None for ``wce_factor`` times the MAE bound; ``bias`` as a
    fraction of the MAE bound; ``bit_fj``: what a product bit costs outside the multiplier. Raises UserError
    for values out of range.
    """

    limits: ClassVar[dict[str, Limits]] = {
        "wce": Limits(1, WORST_ERROR), "wce_factor": Limits(1, POSITIVE.most), "bias": NOT_NEGATIVE,
        "generations": Limits(SLICES, COUNT.most), "children": Limits(1, 1000), "mutations": Limits(1, 1000),
        "clock_mhz": CLOCK_MHZ, "bit_fj": Limits(0, 1e4, below=True), "seed": SEED,
    }  # fmt: skip
    mae: tuple[float, ...] = (10.0, 30.0, 100.0)
    wce: int | None = None
    wce_factor: float = 20.0
    bias: float = 0.1
    keep_zero: bool = True
    signed: bool = True
    generations: int = 200_000
    children: int = 1
    mutations: int = 5
    clock_mhz: float = 100.0
    bit_fj: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.mae:
            raise UserError("give a bound on the MAE, such as --mae 10,50")
        for bound in self.mae:
            MAE.check("a bound on the MAE of", bound)
        if list(self.mae) != sorted(set(self.mae)):
            raise UserError("give each bound on the MAE once, the smallest first")
        check_fields(self, self.limits, "evolution {}".format)

    def bounds(self, target: int) -> Bounds:
        """The bounds of one target."""
        mae = self.mae[target]
        wce = self.wce or min(WORST_ERROR, max(1, round(self.wce_factor * mae)))
        return Bounds(mae, self.bias * mae, wce, self.keep_zero)


@dataclass
class State:
    """How far an evolution is: the round, the target and the slice of its open walk, and all that it found."""

    round: int = 0
    target: int = 0
    slice: int = 0
    start: str = ""
    scale_fj: float = 0.0
    walk: Walk | None = None
    archive: Archive = field(default_factory=Archive)
    statistics: Statistics = field(default_factory=Statistics)
    seconds: float = 0.0

    def save(self, path: Path) -> None:
        """Write the whole state as JSON."""
        value = {name: getattr(self, name) for name in ("round", "target", "slice", "start", "scale_fj", "seconds")}
        value |= {"statistics": asdict(self.statistics), "archive": [one.to_json() for one in self.archive.members]}
        value["walk"] = self.walk and {
            "widths": list(self.walk.genome.widths),
            "gates": self.walk.genome.gates,
            "genes": self.walk.genome.genes.tolist(),
            "best": self.walk.best.genes.tolist(),
            "random": [str(word) for word in self.walk.random],
            "statistics": asdict(self.walk.statistics),
        }
        write_text(path, json.dumps(value))

    @classmethod
    def load(cls, path: Path) -> "State":
        """Read what ``save`` wrote; UserError names a file that is damaged."""
        try:
            value: dict[str, Any] = json.loads(path.read_text())
            walk = value.pop("walk")
            archive = Archive([Member.from_json(one) for one in value.pop("archive")])
            state = cls(**{**value, "archive": archive, "statistics": Statistics(**value["statistics"])})
            if walk:
                widths = (walk["widths"][0], walk["widths"][1])
                genome, best = (Genome(widths, walk["gates"], np.array(walk[g], np.int32)) for g in ("genes", "best"))
                random = np.array([int(word) for word in walk["random"]], np.uint64)
                state.walk = Walk(genome, best, random, Statistics(**walk["statistics"]))
            return state
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path}: the state of an evolution is damaged ({error}); start in another folder"
            ) from error


@dataclass
class Search:
    """An evolution: ``seeds`` scored by ``evaluator``, the cheapest first.

    Raises UserError where no seed keeps the bounds of a target.
    """

    settings: Settings
    evaluator: Evaluator
    operands: Operands
    liberty: Liberty
    seeds: Sequence[Seed]
    state: State = field(default_factory=State)

    def __post_init__(self) -> None:
        self._fitting = [self._starts(self.settings.bounds(t)) for t in range(len(self.settings.mae))]

    def _starts(self, bounds: Bounds) -> list[Seed]:
        """Seeds within bounds, in order of the objective at the start of a walk, without those far behind."""
        objective = {
            one.name: one.score.energy_fj * (1 + PRICE[0] * one.score.mae / bounds.mae)
            for one in within(self.seeds, bounds)
        }
        ahead = [one for one in self.seeds if objective.get(one.name, np.inf) <= BEHIND * min(objective.values())]
        return sorted(ahead, key=lambda one: objective[one.name])

    def step(self) -> None:
        """One slice of a walk; after the last one the walk's best is mapped and offered to the archive."""
        settings, state = self.settings, self.state
        bounds = settings.bounds(state.target)
        if state.walk is None:
            self._start(bounds)
        assert state.walk is not None
        place = state.slice / (SLICES - 1)
        rules = Rules(
            settings.children,
            settings.mutations,
            _between(PRICE, place) * state.scale_fj / bounds.mae,
            _between(TEMPERATURE, place) * state.scale_fj,
        )
        self.evaluator.evolve(state.walk, bounds, rules, settings.generations // SLICES)
        state.slice += 1
        if state.slice == SLICES:
            self._finish(state.walk, bounds)

    def _start(self, bounds: Bounds) -> None:
        """Even rounds start from the next cheapest seed, odd ones from the best cell found so far."""
        state, fitting = self.state, self._fitting[self.state.target]
        known = state.archive.best(bounds) if state.round % 2 else None
        seed = fitting[state.round // 2 % len(fitting)]
        genome = Genome.of(known.netlist) if known else seed.genome
        state.start = known.seed_cell if known else seed.name
        state.scale_fj = fitting[0].score.energy_fj
        state.walk = Walk.start(genome, (self.settings.seed, state.round, state.target))
        state.slice = round(AGAIN * SLICES) if known else 0

    def _finish(self, walk: Walk, bounds: Bounds) -> None:
        settings, state = self.settings, self.state
        cell = Cell("evolved", "evolved", settings.signed, walk.best.netlist())
        figures = measure(cell, self.operands, self.liberty, settings.clock_mhz, settings.bit_fj)
        member = Member(cell.netlist, figures, keeps_zero(cell), state.start, bounds.mae, state.round)
        if not member.keeps(bounds):
            raise AssertionError(f"a walk under {bounds} ended with {figures}")
        state.archive.offer(member)
        state.statistics.add(walk.statistics)
        state.walk, state.slice = None, 0
        state.target += 1
        if state.target == len(settings.mae):
            state.target, state.round = 0, state.round + 1

    def run(self, until: Callable[[State], bool], save: Callable[[State], None]) -> None:
        """Go on until ``until`` holds; ``save`` sees the whole state after every slice."""
        while not until(self.state):
            self.step()
            save(self.state)


def _between(ends: tuple[float, float], place: float) -> float:
    """Geometric interpolation."""
    return float(ends[0] * (ends[1] / ends[0]) ** place)
