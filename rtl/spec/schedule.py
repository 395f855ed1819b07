"""A matrix product as the stream of beats that the accelerator takes, and its answer back as matrices.

Letters: R rows, C columns of the array; activations M x K, weights K x N.

A beat has a kind (``s_axis_tuser``) and ``data_bytes`` bytes (``s_axis_tdata``), lowest byte first:

=================== ===================================================================================
COLUMN              bias and requantiser of one array column: the fields of ``COLUMN_FIELDS``
WEIGHTS             C x int8: one row of weights enters at row 0, the others move down; R beats a tile
ACTIVATIONS_FIRST   R x int8: accumulator row m = bias + sums; m counts from 0 after every WEIGHTS beat
ACTIVATIONS         R x int8: accumulator row m += sums
DRAIN_ACCUMULATORS  send accumulator rows 0 to ``last_row``: the fields of ``DRAIN_FIELDS``
DRAIN_OUTPUTS       the same rows, requantised
=================== ===================================================================================

An answer beat (``m_axis_tdata``) is one accumulator row: C lanes of int32, accumulators or int8 outputs
sign-extended. ``m_axis_tlast`` marks the last row of a drain whose beat carried ``s_axis_tlast``.
Kinds that are not listed are reserved: such a beat is taken like COLUMN, and changes and answers nothing.

After one clock of reset the handshakes are known. Weights, parameters of columns and accumulators are not reset: send
COLUMN for every column in use, R rows of WEIGHTS and rows of ACTIVATIONS_FIRST before a drain of those rows; what was
never sent answers unknown values. ``m_axis_tdata`` and ``m_axis_tlast`` are known while ``m_axis_tvalid`` is high.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from slipstick.errors import UserError

from .array import ArrayConfig, padding_sums, sum_range
from .fixed import MULTIPLIER_BITS, SHIFT_BITS, Requant
from .widths import LANE_BITS, signed_width


class Kind(IntEnum):
    """What a beat carries."""

    COLUMN = 0
    WEIGHTS = 1
    ACTIVATIONS_FIRST = 2
    ACTIVATIONS = 3
    DRAIN_ACCUMULATORS = 4
    DRAIN_OUTPUTS = 5


KIND_BITS = 3
COLUMN_FIELDS = {"bias": LANE_BITS, "multiplier": MULTIPLIER_BITS, "shift": SHIFT_BITS, "column": 10}
DRAIN_FIELDS = {"last_row": 16, "zero": 8, "low": 8, "high": 8}
SIGNED_FIELDS = {"bias", "zero", "low", "high"}
MAX_COLUMNS = 1 << COLUMN_FIELDS["column"]
MAX_ACCUMULATOR_ROWS = 1 << DRAIN_FIELDS["last_row"]


def data_bytes(config: ArrayConfig) -> int:
    """Bytes of ``s_axis_tdata``: a row of activations, of weights, or a command, whichever is longest."""
    return max(8, config.rows, config.columns)


@dataclass(frozen=True)
class Beats:
    """A stream: ``data`` uint8 [B, data_bytes], ``kind`` uint8 [B], ``last`` bool [B]."""

    data: np.ndarray
    kind: np.ndarray
    last: np.ndarray

    def __len__(self) -> int:
        return len(self.kind)

    def __getitem__(self, part: slice) -> "Beats":
        return Beats(self.data[part], self.kind[part], self.last[part])


@dataclass(frozen=True)
class Drain:
    """One drain: accumulator rows ``first_row`` to ``first_row + rows`` of M, channels from ``channel``.

    The channel of lane ``columns[i]`` is ``channel + i``.
    """

    kind: Kind
    first_row: int
    rows: int
    channel: int
    columns: tuple[int, ...]


@dataclass(frozen=True)
class Schedule:
    """The beats of one matrix product and what each answer beat will be."""

    beats: Beats
    drains: tuple[Drain, ...]
    shape: tuple[int, int]

    @property
    def answers(self) -> int:
        """Number of answer beats."""
        return sum(drain.rows for drain in self.drains)

    @property
    def answers_of_beats(self) -> np.ndarray:
        """How many answer beats each beat causes, int64 [B]."""
        counts = np.zeros(len(self.beats), np.int64)
        counts[self.beats.kind >= Kind.DRAIN_ACCUMULATORS] = [drain.rows for drain in self.drains]
        return counts

    def gather(self, lanes: np.ndarray) -> dict[Kind, np.ndarray]:
        """Answer lanes int32 [answers, C] as matrices int32 [M, N], one for each kind of drain."""
        matrices = {drain.kind: np.zeros(self.shape, np.int32) for drain in self.drains}
        for first, drain in self._numbered():
            rows = slice(drain.first_row, drain.first_row + drain.rows)
            channels = slice(drain.channel, drain.channel + len(drain.columns))
            matrices[drain.kind][rows, channels] = lanes[first : first + drain.rows, list(drain.columns)]
        return matrices

    def answer_number(self, kind: Kind, row: int, channel: int) -> int:
        """Which answer beat carries the value of one matrix element."""
        for first, drain in self._numbered():
            inside = drain.first_row <= row < drain.first_row + drain.rows
            if drain.kind == kind and inside and drain.channel <= channel < drain.channel + len(drain.columns):
                return first + row - drain.first_row
        raise ValueError(f"no drain gives {kind.name} row {row} channel {channel}")

    def _numbered(self) -> Iterator[tuple[int, Drain]]:
        first = 0
        for drain in self.drains:
            yield first, drain
            first += drain.rows


def schedule(
    config: ArrayConfig,
    activations: np.ndarray,
    weights: np.ndarray,
    bias: np.ndarray,
    requant: Requant,
    *,
    columns: Sequence[int] | None = None,
    accumulator_rows: int = 256,
    drains: Sequence[Kind] = (Kind.DRAIN_ACCUMULATORS, Kind.DRAIN_OUTPUTS),
) -> Schedule:
    """Beats for int8 [M, K] @ int8 [K, N] + int32 bias [N] with N-channel ``requant``.

    Output channel n uses ``columns[n % len(columns)]``. Rows that pad the last tile carry zeros; what
    a cell makes of 0 x 0 there is taken off the bias. M larger than the accumulators goes in parts.
    """
    columns = tuple(columns) if columns is not None else tuple(range(config.columns))
    (m, depth), channels = activations.shape, weights.shape[1]
    bias = bias.astype(np.int64) - padding_sums(config, depth, channels, columns)
    parts: list[tuple[Kind, np.ndarray]] = []
    plan: list[Drain] = []
    for n in range(0, channels, len(columns)):
        used = columns[: channels - n]
        parts.append((Kind.COLUMN, _column_beats(bias, requant, n, used)))
        for first in range(0, m, accumulator_rows):
            some = activations[first : first + accumulator_rows]
            for k in range(0, depth, config.rows):
                parts.append((Kind.WEIGHTS, _weight_rows(config, weights, k, n, used)))
                parts.append((Kind.ACTIVATIONS if k else Kind.ACTIVATIONS_FIRST, some[:, k : k + config.rows]))
            for kind in drains:
                parts.append((kind, _drain_beat(len(some), requant)))
                plan.append(Drain(kind, first, len(some), n, used))
    return Schedule(_join(config, parts), tuple(plan), (m, channels))


def required_depth(config: ArrayConfig, depth: int, bias: np.ndarray, columns: Sequence[int]) -> int:
    """Least power of two of K tiles for which ``accumulator_width`` holds K = ``depth`` and these biases.

    Raises UserError when that takes more than the 32 bits of an answer lane.
    """
    tiles = -(-depth // config.rows)
    bias = bias.astype(np.int64) - padding_sums(config, depth, len(bias), columns)
    for exponent in range(tiles.bit_length() - (tiles & (tiles - 1) == 0), 33):
        widths = [config.accumulator_width(column, 1 << exponent) for column in columns]
        fits = True
        for group, column in enumerate(columns):
            low, high = (tiles * limit for limit in sum_range(config.column_cells(column)))
            own = bias[group :: len(columns)]
            if len(own):
                fits &= signed_width(low + min(int(own.min()), 0), high + max(int(own.max()), 0)) <= widths[group]
        if max(widths) > LANE_BITS:
            break
        if fits:
            return 1 << exponent
    largest = int(np.abs(bias).max())
    raise UserError(f"K = {depth} with biases of up to {largest} does not fit {LANE_BITS}-bit accumulators")


def _column_beats(bias: np.ndarray, requant: Requant, first: int, columns: tuple[int, ...]) -> np.ndarray:
    channels = slice(first, first + len(columns))
    return pack(
        COLUMN_FIELDS,
        bias=bias[channels],
        multiplier=requant.multiplier[channels],
        shift=requant.shift[channels],
        column=np.array(columns),
    )


def _weight_rows(config: ArrayConfig, weights: np.ndarray, k: int, n: int, columns: tuple[int, ...]) -> np.ndarray:
    rows = np.zeros((config.rows, config.columns), np.int8)
    tile = weights[k : k + config.rows, n : n + len(columns)]
    rows[: len(tile), list(columns)] = tile
    return rows[::-1]  # the first beat goes down to the last row


def _drain_beat(rows: int, requant: Requant) -> np.ndarray:
    return pack(DRAIN_FIELDS, last_row=rows - 1, zero=requant.zero, low=requant.low, high=requant.high)


def pack(fields: dict[str, int], **values: Any) -> np.ndarray:
    """Bit fields, lowest first, as bytes uint8 [n, 8]; those of ``SIGNED_FIELDS`` in two's complement.

    Raises UserError for a value that a field cannot hold.
    """
    word, place = np.zeros(1, np.uint64), 0
    for name, width in fields.items():
        given = np.atleast_1d(values[name]).astype(np.int64)
        low = -(1 << (width - 1)) if name in SIGNED_FIELDS else 0
        for wrong in given[(given < low) | (given >= low + (1 << width))]:
            raise UserError(f"{name} = {wrong} does not fit {width} bits")
        bits = given.view(np.uint64) & np.uint64((1 << width) - 1)
        word = word | bits << np.uint64(place)
        place += width
    return word[:, None].view(np.uint8)


def _join(config: ArrayConfig, parts: Sequence[tuple[Kind, np.ndarray]]) -> Beats:
    lengths = [len(rows) for _, rows in parts]
    data = np.zeros((sum(lengths), data_bytes(config)), np.uint8)
    kind = np.repeat(np.array([kind for kind, _ in parts], np.uint8), lengths)
    position = 0
    for length, (_, rows) in zip(lengths, parts, strict=True):
        data[position : position + length, : rows.shape[1]] = rows.view(np.uint8)
        position += length
    last = np.zeros(len(kind), bool)
    last[-1:] = True
    return Beats(data, kind, last)
