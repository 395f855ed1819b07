"""Random machines and random streams for them, each from two numbers: a campaign's seed and its own.

Half of the streams are those of matrix products, half are beats at random, which meet every interlock.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from slipstick.rtl.cells import cell, names
from slipstick.rtl.cells.cell import Cell
from slipstick.rtl.spec import interpreter
from slipstick.rtl.spec.array import ArrayConfig, CellMix, padding_sums
from slipstick.rtl.spec.beats import BEAT, CONSTANTS, FIELDS, Beats, MatrixProduct, schedule
from slipstick.rtl.spec.fixed import MAX_SHIFT, MULTIPLIER_BITS, Requant
from slipstick.rtl.spec.machine import AcceleratorConfig
from slipstick.rtl.spec.widths import signed_range

LARGEST = 12  # rows and columns of an array
STALL = 1 << 16  # of so many cycles, a source or a sink pauses in some


@dataclass(frozen=True)
class Trial:
    """A machine, a stream, and its timing.

    ``stall_in`` and ``stall_out`` of 65536 cycles pause at random; ``reset_at`` cycles into the stream the
    machine is reset and the stream begins again, 0 for never.
    """

    number: int
    config: AcceleratorConfig
    beats: Beats
    stream: str
    stall_in: int
    stall_out: int
    reset_at: int

    @property
    def in_time(self) -> bool:
        """Whether the cycles are those of the contract: nothing pauses."""
        return not (self.stall_in or self.stall_out)

    @cached_property
    def answers(self) -> np.ndarray:
        """What the contract answers, int [n, C]."""
        return interpreter.run(self.config, self.beats)

    @cached_property
    def cycles(self) -> int:
        """Cycles of the contract where nothing pauses."""
        return interpreter.cycles(self.config, self.beats)

    def __str__(self) -> str:
        config, rests = self.config, [f"in {100 * self.stall_in // STALL} %", f"out {100 * self.stall_out // STALL} %"]
        reset = f", reset after {self.reset_at} cycles" if self.reset_at else ""
        return (
            f"{config.array.rows} x {config.array.columns} in {config.tile_rows} x {config.tile_columns}, "
            f"{' + '.join(one.name for one in config.array.cells)}, {self.stream}, pauses {', '.join(rests)}{reset}"
        )


def draw(seed: int, number: int) -> Trial:
    """Trial ``number`` of the campaign ``seed``: the same two numbers, the same trial."""
    rng = np.random.default_rng([seed, number])
    config = _machine(rng)
    if rng.random() < 0.5:
        count = int(rng.integers(1, 4))
        columns = rng.permutation(config.array.columns)[: rng.integers(1, config.array.columns + 1)].tolist()
        raw = ((True, False), (False,), (True,))[rng.integers(3)]
        beats = schedule(
            config, [random_product(rng, config, columns) for _ in range(count)], columns=columns, raw=raw
        ).beats
        stream = f"{count} products"
    else:
        beats, stream = random_beats(rng, config), "random beats"
    if rng.random() < 0.3:
        beats = _with_idle_beats(rng, config, beats)
    stall_in, stall_out = (STALL * rng.choice([0, 0.1, 0.5, 0.9], 2)).astype(int).tolist()
    if rng.random() < 0.4:
        stall_in = stall_out = 0
    reset_at = int(rng.integers(1, len(beats) + 10)) if rng.random() < 0.3 else 0
    return Trial(number, config, beats, stream, stall_in, stall_out, reset_at)


@cache
def pool() -> tuple[str, ...]:
    """Names of all registered cells that arrays take."""
    return tuple(name for name in names("*") if re.match(r"[a-z_]+8[su](_|$)", name) and cell(name).widths == (8, 8))


def _machine(rng: np.random.Generator) -> AcceleratorConfig:
    sizes = np.arange(1, LARGEST + 1)
    rows, columns = rng.choice(sizes, 2, p=(1 / sizes) / (1 / sizes).sum()).tolist()  # small ones build quickly
    tile_rows, tile_columns = (
        int(rng.choice([n for n in range(1, size + 1) if size % n == 0])) for size in (rows, columns)
    )
    cells = [cell(name) for name in rng.choice(pool(), rng.integers(1, 5))]
    array = ArrayConfig(rows, columns, CellMix(_grid(rng, cells, rows, columns)))
    return AcceleratorConfig(array, tile_rows, tile_columns, int(rng.integers(2, 25)), int(rng.integers(1, 13)))


def _grid(rng: np.random.Generator, cells: Sequence[Cell], rows: int, columns: int) -> tuple[tuple[Cell, ...], ...]:
    """Cells that differ nowhere, by column, by row, or anywhere."""
    shape = ((1, 1), (1, columns), (rows, 1), (rows, columns))[rng.integers(4)]
    numbers = np.broadcast_to(rng.integers(len(cells), size=shape), (rows, columns))
    return tuple(tuple(cells[number] for number in row) for row in numbers.tolist())


def _operands(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """int8: all numbers alike, extremes, or mostly zeros."""
    kind = rng.integers(3)
    if kind == 0:
        return rng.integers(-128, 128, shape).astype(np.int8)
    return rng.choice(np.array([-128, -127, -1, 0, 1, 127] if kind == 1 else [0, 0, 0, 0, 55, -128], np.int8), shape)


def random_product(rng: np.random.Generator, config: AcceleratorConfig, columns: Sequence[int]) -> MatrixProduct:
    """A product that the machine can sum; with its biases it may wrap, as the accumulators do.

    Half of them have small sums whose outputs lie between the limits, often half-way between two codes.
    """
    rows, tiles = config.array.rows, min(4, config.depth)
    m = int(rng.integers(1, 2 * config.accumulator_rows + 2))
    k, n = int(rng.integers(1, rows * tiles + 1)), int(rng.integers(1, 2 * len(columns) + 2))
    padding = padding_sums(config.array, k, n, columns)
    if rng.random() < 0.5:
        places = rng.integers(0, MULTIPLIER_BITS, n)
        requant = Requant(1 << places, places + rng.integers(1, 5, n))
        activations, weights = (rng.integers(-2, 3, shape).astype(np.int8) for shape in ((m, k), (k, n)))
        return MatrixProduct(activations, weights, rng.integers(-60, 61, n) + padding, requant)
    limits = np.array([signed_range(config.sum_width(columns[channel % len(columns)])) for channel in range(n)])
    stored = rng.integers(limits[:, 0], limits[:, 1] + 1)
    if rng.random() < 0.7:  # small beside the sums
        stored = np.clip(stored // 64, *limits.T)
    requant = Requant(
        rng.integers(0, 1 << MULTIPLIER_BITS, n) >> rng.integers(0, MULTIPLIER_BITS),
        np.minimum(rng.integers(1, 32, n) + rng.integers(0, 2) * 32, MAX_SHIFT),
        *(int(value) for value in rng.integers(-128, 128, 3)),
    )
    return MatrixProduct(_operands(rng, m, k), _operands(rng, k, n), stored + padding, requant)


def random_beats(rng: np.random.Generator, config: AcceleratorConfig, count: int = 400) -> Beats:
    """Everything written once, then ``count`` beats of random flags, banks, rows and addresses."""
    rows, columns = config.array.rows, config.array.columns
    addresses = rows + sum(CONSTANTS.values())
    first = 2 * addresses + config.accumulator_rows
    fields = np.zeros(first + count, BEAT)
    writes, sums = fields[: 2 * addresses], fields[2 * addresses : first]
    writes["write"], writes["address"] = True, np.tile(np.arange(addresses), 2)
    writes["write_bank"] = np.repeat([False, True], addresses)
    sums["compute"] = sums["first"] = True
    sums["row"] = np.arange(config.accumulator_rows)
    some = fields[first:]
    for name in ("compute", "first", "last", "raw", "bank", "constants", "write", "write_bank", "end"):
        some[name] = rng.random(count) < rng.choice([0.1, 0.5, 0.9])
    some["row"] = rng.integers(0, rng.integers(1, config.accumulator_rows + 1), count)
    some["address"] = rng.integers(0, addresses, count)
    whole = first + count
    return Beats(_operands(rng, whole, rows), _operands(rng, whole, columns), fields)


def _with_idle_beats(rng: np.random.Generator, config: AcceleratorConfig, beats: Beats) -> Beats:
    """``beats`` with others between them that change nothing: of no flag, or a write of a reserved address."""
    count = int(rng.integers(1, len(beats) // 4 + 2))
    idle = random_beats(rng, config, count)[-count:]
    idle.fields["compute"] = False
    reserved = config.array.rows + sum(CONSTANTS.values())
    idle.fields["address"] = rng.integers(reserved, 1 << FIELDS["address"], count)
    places = rng.integers(0, len(beats) + 1, count)
    return Beats(*(
        np.insert(getattr(beats, name), places, getattr(idle, name), axis=0)
        for name in ("activations", "weights", "fields")
    ))  # fmt: skip
