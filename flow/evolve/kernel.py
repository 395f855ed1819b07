"""``evolve.cpp`` bound by ctypes: scores genomes, and takes walks through them."""

import ctypes
import functools
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from slipstick.errors import ToolNotFound, UserError
from slipstick.flow.characterise.operands import TOTAL, Operands
from slipstick.model.kernels.compiler import KernelError, Native, build_library, compile_library

from .genome import KINDS, Genome
from .proxy import UNIT_FJ, GateCosts

SOURCE = Path(__file__).parent / "evolve.cpp"
WORST_ERROR = 32767
"""Largest |error| that the kernel's 16-bit arithmetic tells from a larger one."""
SEQUENCES, STEPS = 256, 16
"""Part of the operands' sequences that the inner loop simulates: 4,096 vectors."""
_CHUNK = 16  # words of 64 vectors that the kernel runs at a time


class _Costs(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64 * KINDS) for name in ("output", "input", "present")),
        ("bit", ctypes.c_int64),
    ]


class _Problem(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int32) for name in ("weight_bits", "is_signed", "gates", "outputs")),
        *((name, ctypes.c_void_p) for name in ("weights_a", "weights_w", "stream", "counted")),
        ("stream_words", ctypes.c_int64),
        ("costs", ctypes.POINTER(_Costs)),
        *((name, ctypes.c_int64) for name in ("error_bound", "bias_bound")),
        *((name, ctypes.c_int32) for name in ("worst_bound", "keep_zero")),
    ]


class _Rules(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int32) for name in ("children", "mutations")),
        *((name, ctypes.c_int64) for name in ("price", "temperature")),
    ]


class _Score(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int64) for name in ("cost", "error", "bias", "worst", "broken_zeros", "active")]


class _Statistics(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int64) for name in ("candidates", "cheap", "valid", "accepted", "blocks")]


@dataclass(frozen=True)
class Bounds:
    """What a cell must keep: weighted MAE, |weighted mean error|, WCE, and zero products of zero operands."""

    mae: float
    bias: float
    wce: int
    keep_zero: bool


@dataclass(frozen=True)
class Score:
    """Figures of a genome: estimated energy (fJ an operation), weighted MAE and mean error, WCE over all pairs.

    ``wce`` is 32,768 for anything larger than 32,767, and MAE and bias mean nothing then.
    """

    energy_fj: float
    mae: float
    bias: float
    wce: int
    keeps_zero: bool
    gates: int

    def keeps(self, bounds: Bounds) -> bool:
        """Whether no bound is broken."""
        return (
            self.mae <= bounds.mae
            and abs(self.bias) <= bounds.bias
            and self.wce <= bounds.wce
            and (self.keeps_zero or not bounds.keep_zero)
        )


@dataclass(frozen=True)
class Rules:
    """How a walk moves: ``children`` candidates a generation, each with 1 to ``mutations`` changed active genes.

    The objective is energy + ``price_fj`` * MAE; it may rise by ``temperature_fj`` a generation, on average.
    """

    children: int = 1
    mutations: int = 5
    price_fj: float = 0.0
    temperature_fj: float = 0.0


@dataclass
class Statistics:
    """Candidates; those that reached the full check of errors; of these the valid; generations that moved."""

    candidates: int = 0
    cheap: int = 0
    valid: int = 0
    accepted: int = 0
    blocks: int = 0

    def add(self, other: Any) -> None:
        """Count up by another's counts."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))


@dataclass
class Walk:
    """A walk through genomes: where it is, the cheapest genome it has seen, its random state uint64 [4]."""

    genome: Genome
    best: Genome
    random: np.ndarray
    statistics: Statistics = field(default_factory=Statistics)

    @classmethod
    def start(cls, genome: Genome, seeds: Sequence[int]) -> "Walk":
        """A walk that starts at a genome, with random numbers that ``seeds`` decide."""
        state = np.random.SeedSequence(list(seeds)).generate_state(4, np.uint64)
        return cls(genome.copy(), genome.copy(), state)


@functools.cache
def native() -> Native:
    """The compiled kernel; ToolNotFound says how to get a compiler."""

    def use(path: Path, new: bool) -> ctypes.CDLL:
        library = ctypes.CDLL(str(path))
        pointer = ctypes.c_void_p
        library.slipstick_evolve_score.argtypes = [pointer] * 3
        library.slipstick_evolve_score.restype = None
        library.slipstick_evolve_run.argtypes = [pointer] * 5 + [ctypes.c_int64] + [pointer] * 3
        library.slipstick_evolve_run.restype = None
        return library

    def compile_into(compiler: str, flags: Sequence[str], folder: Path) -> Path:
        return compile_library(compiler, flags, SOURCE, folder)

    try:
        return build_library("evolve", [SOURCE], compile_into, use)
    except KernelError as error:
        raise ToolNotFound(f"evolving needs a C++ compiler: {error}") from error


class Evaluator:
    """Scores and evolves genomes of one shape under one workload's operands and one library's gate costs.

    Raises UserError for shapes other than activations of 8 bits and weights of 2 to 8.
    """

    def __init__(self, widths: tuple[int, int], signed: bool, operands: Operands, costs: GateCosts) -> None:
        if widths[0] != 8 or not 2 <= widths[1] <= 8:
            raise UserError(f"cells of {widths[0]} x {widths[1]} bits cannot be evolved; 8 x 2 to 8 x 8 can")
        self.widths, self.signed = widths, signed
        self._library = native().library
        self._shares = operands.activation_weights, operands.weight_weights
        self._planes, self._counted, self._steps = stream_planes(operands, widths)
        present = tuple(self._steps * unit for unit in costs.present)
        kinds = ((ctypes.c_int64 * KINDS)(*part) for part in (costs.output, costs.input, present))
        self._costs = _Costs(*kinds, self._steps * costs.bit)

    def score(self, genome: Genome) -> Score:
        """Every figure of a genome."""
        score, problem = _Score(), self._problem(genome, None)
        self._library.slipstick_evolve_score(ctypes.byref(problem), genome.genes.ctypes.data, ctypes.byref(score))
        return self._read(score)

    def evolve(self, walk: Walk, bounds: Bounds, rules: Rules, generations: int) -> tuple[Score, Score]:
        """Go on with a walk, whose genomes must keep the bounds; scores of its genome and of its best."""
        score, best, counts = _Score(), _Score(), _Statistics()
        problem = self._problem(walk.genome, bounds)
        fj = self._steps / UNIT_FJ
        own = _Rules(rules.children, rules.mutations, round(rules.price_fj * fj), round(rules.temperature_fj * fj))
        self._library.slipstick_evolve_run(
            ctypes.byref(problem), ctypes.byref(own), walk.genome.genes.ctypes.data, walk.best.genes.ctypes.data,
            walk.random.ctypes.data, generations, ctypes.byref(score), ctypes.byref(best), ctypes.byref(counts),
        )  # fmt: skip
        walk.statistics.add(counts)
        return self._read(score), self._read(best)

    def _problem(self, genome: Genome, bounds: Bounds | None) -> _Problem:
        assert genome.genes.dtype == np.int32 and genome.genes.flags.c_contiguous and genome.widths == self.widths
        limit = bounds or Bounds(0, 0, 0, False)
        return _Problem(
            self.widths[1], self.signed, genome.gates, len(genome.genes) - 3 * genome.gates,
            self._shares[0].ctypes.data, self._shares[1].ctypes.data, self._planes.ctypes.data,
            self._counted.ctypes.data, self._planes.shape[1], ctypes.pointer(self._costs),
            int(limit.mae * TOTAL**2), int(limit.bias * TOTAL**2), min(limit.wce, WORST_ERROR), limit.keep_zero,
        )  # fmt: skip

    def _read(self, score: _Score) -> Score:
        energy_fj = score.cost * UNIT_FJ / self._steps
        mae, bias = score.error / TOTAL**2, score.bias / TOTAL**2
        return Score(energy_fj, mae, bias, score.worst, not score.broken_zeros, score.active)


def stream_planes(operands: Operands, widths: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, int]:
    """Operand planes uint64 [wa + ww, words] of the first sequences, which steps count [words], and how many.

    The step into a sequence does not count, nor the one into a word, whose predecessor the kernel does not see.
    """
    activations = operands.activations[:SEQUENCES, :STEPS]
    length = activations.shape[1]
    a, w = activations.ravel(), np.repeat(operands.weights[: len(activations)], length)
    position = np.arange(a.size)
    counted = (position % length > 0) & (position % 64 > 0)
    rows = [(word >> bit) & 1 for word, width in ((a, widths[0]), (w, widths[1])) for bit in range(width)]
    bits = np.pad(np.array([*rows, counted], np.uint8), ((0, 0), (0, -a.size % (64 * _CHUNK))))
    planes = np.packbits(bits, axis=1, bitorder="little").view(np.uint64)
    return np.ascontiguousarray(planes[:-1]), np.ascontiguousarray(planes[-1]), int(counted.sum())
