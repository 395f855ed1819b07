"""Matrix products as the stream of beats that the accelerator takes, and its answers back as matrices.

Letters: R rows, C columns of the array; activations M x K, weights K x N; B beats.

A beat is one word of ``s_axis``: R bytes of activations and C bytes of weights (``s_axis_tdata``, activations
lowest), and the fields of ``FIELDS`` (``s_axis_tuser``), which say what to do with either:

- ``compute``: the activations are a row. Products with the weights of ``bank`` are added to accumulator
  ``row``, or to the bias of ``constants`` where ``first``. The sums go back to the accumulator, or, where
  ``last``, leave as an answer: requantised, or as they are where ``raw``.
- ``write``: the weights are stored at ``address`` of ``write_bank``: 0 to R - 1 are rows of weights, R + b is
  byte b of the columns' constants (``CONSTANTS``). A row that the same beat computes sees what it stores.

Constants are kept in two sets, which ``write_bank`` and ``constants`` name; bits of a byte beyond the constant's own
are ignored. Addresses above the last constant are reserved: such a write changes nothing. Neither flag: the beat
changes nothing.

An answer (``m_axis``) is C lanes of int32; ``m_axis_tlast`` repeats the ``s_axis_tlast`` of its beat.

Timing. Up to one beat a cycle is taken, and beats take effect in order. In a mesh of I x J tiles, an answer stands at
``m_axis`` I + J + 2 cycles after its beat was taken. A beat waits by itself, ``s_axis_tready`` low, where it would
overtake one before it:

- a row that adds to an accumulator is taken I + 1 cycles after the row that stores it, or later;
- a write to a bank, or to a set of constants, is taken I + J + 1 cycles after the last row that uses it, or later.

While an answer is not taken, everything waits. So what is answered never depends on when beats come or answers go.

After one clock of reset the handshakes are known. Weights, constants and accumulators are not reset: write all
that a row uses before it, and begin every accumulator with ``first``; what was never written answers unknown values.
``m_axis_tdata`` and ``m_axis_tlast`` are known while ``m_axis_tvalid`` is high.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from slipstick.errors import UserError

from .array import padding_sums
from .fixed import MULTIPLIER_BITS, SHIFT_BITS, Requant
from .machine import AcceleratorConfig
from .widths import LANE_BITS, signed_range

FIELDS = {
    "compute": 1, "first": 1, "last": 1, "raw": 1, "bank": 1, "constants": 1, "write": 1, "write_bank": 1,
    "row": 12, "address": 12,
}  # fmt: skip
CONSTANT_BITS = {"bias": LANE_BITS, "multiplier": MULTIPLIER_BITS, "shift": SHIFT_BITS, "zero": 8, "low": 8, "high": 8}
CONSTANTS = {name: -(-bits // 8) for name, bits in CONSTANT_BITS.items()}
"""Bytes of a column's constants, in order of address; ``zero``, ``low`` and ``high`` count in column 0 for all."""
OF_LAYER, OF_COLUMN = ("zero", "low", "high"), ("bias", "multiplier", "shift")
CONSTANT_BYTES = sum(CONSTANTS[name] for name in OF_COLUMN)
MAX_ROWS = 1 << FIELDS["row"]
BEAT = np.dtype([(name, np.uint16 if width > 1 else np.bool_) for name, width in FIELDS.items()] + [("end", np.bool_)])


@dataclass(frozen=True)
class Beats:
    """``activations`` int8 [B, R], ``weights`` int8 [B, C], ``fields`` BEAT [B]; ``end`` is ``s_axis_tlast``."""

    activations: np.ndarray
    weights: np.ndarray
    fields: np.ndarray

    def __len__(self) -> int:
        return len(self.fields)

    def __getitem__(self, part: slice) -> "Beats":
        return Beats(self.activations[part], self.weights[part], self.fields[part])

    def user(self) -> np.ndarray:
        """``s_axis_tuser`` of every beat, uint64 [B]."""
        word, place = np.zeros(len(self), np.uint64), 0
        for name, width in FIELDS.items():
            word |= self.fields[name].astype(np.uint64) << np.uint64(place)
            place += width
        return word

    def data(self) -> np.ndarray:
        """``s_axis_tdata`` of every beat, uint8 [B, R + C]."""
        return np.concatenate([self.activations, self.weights], axis=1).view(np.uint8)


@dataclass(frozen=True)
class MatrixProduct:
    """int8 [M, K] @ int8 [K, N] + int32 bias [N], requantised with N-channel ``requant``."""

    activations: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    requant: Requant


@dataclass(frozen=True)
class Answers:
    """Answers ``start`` to ``start + rows`` of the stream: rows of a product from ``first_row``.

    The channel of lane ``columns[i]`` is ``channel + i``; ``raw`` answers are accumulators.
    """

    product: int
    raw: bool
    start: int
    first_row: int
    rows: int
    channel: int
    columns: tuple[int, ...]


@dataclass(frozen=True)
class Schedule:
    """The beats of some products and what each answer will be; ``shapes`` are (M, N) of every product."""

    beats: Beats
    answers: tuple[Answers, ...]
    shapes: tuple[tuple[int, int], ...]

    def gather(self, lanes: np.ndarray, product: int, raw: bool) -> np.ndarray:
        """Answer lanes int32 [answers, C] as the matrix int32 [M, N] of one product."""
        matrix = np.zeros(self.shapes[product], np.int32)
        for part in self.answers:
            if (part.product, part.raw) == (product, raw):
                rows = slice(part.first_row, part.first_row + part.rows)
                channels = slice(part.channel, part.channel + len(part.columns))
                matrix[rows, channels] = lanes[part.start : part.start + part.rows, list(part.columns)]
        return matrix

    def answer_number(self, product: int, raw: bool, row: int, channel: int) -> int:
        """Which answer carries the value of one element of a product."""
        for part in self.answers:
            inside = part.first_row <= row < part.first_row + part.rows
            channels = range(part.channel, part.channel + len(part.columns))
            if (part.product, part.raw) == (product, raw) and inside and channel in channels:
                return part.start + row - part.first_row
        raise ValueError(f"no answer gives row {row} channel {channel} of product {product}")


@dataclass(frozen=True)
class _Pass:
    """One weight tile at work: activations [m, R], weights [R, C], constants to load before it, its flags."""

    activations: np.ndarray
    weights: np.ndarray
    constants: np.ndarray | None
    flags: dict[str, bool]
    first_row: int


def hold(config: AcceleratorConfig) -> int:
    """Beats for which a bank, or constants, may not be written after a row that uses them."""
    return sum(config.mesh)


def schedule(
    config: AcceleratorConfig,
    products: Sequence[MatrixProduct],
    *,
    columns: Sequence[int] | None = None,
    raw: Sequence[bool] = (True, False),
) -> Schedule:
    """Beats for some products one after another; the weights of a tile load while the one before is computed.

    Output channel n uses ``columns[n % len(columns)]``. ``raw`` lists the answers wanted: accumulators,
    outputs, or both, for which the last tile of the reduction is computed once each. Rows that pad the
    last tile carry zeros; what a cell makes of 0 x 0 there is taken off the bias. M larger than the
    accumulators goes in parts. Raises UserError for requantisers whose limits do not fit int8, and for biases
    that do not fit the sums.
    """
    columns = tuple(columns) if columns is not None else tuple(range(config.array.columns))
    passes: list[_Pass] = []
    answers: list[Answers] = []
    count = 0
    for number, product in enumerate(products):
        for one, channel, used in _passes(config, product, columns, raw):
            passes.append(one)
            if one.flags["last"]:
                rows = len(one.activations)
                answers.append(Answers(number, one.flags["raw"], count, one.first_row, rows, channel, used))
                count += rows
    shapes = tuple((len(one.activations), one.weights.shape[1]) for one in products)
    return Schedule(_join(config, passes), tuple(answers), shapes)


def _passes(
    config: AcceleratorConfig, product: MatrixProduct, columns: tuple[int, ...], raw: Sequence[bool]
) -> Iterator[tuple[_Pass, int, tuple[int, ...]]]:
    rows = config.array.rows
    (m, depth), channels = product.activations.shape, product.weights.shape[1]
    tiles = -(-depth // rows)
    padded = np.zeros((m, tiles * rows), np.int8)
    padded[:, :depth] = product.activations
    bias = product.bias.astype(np.int64) - padding_sums(config.array, depth, channels, columns)
    for n in range(0, channels, len(columns)):
        used = columns[: channels - n]
        constants: np.ndarray | None = _constants(config, bias, product.requant, n, used)
        for first in range(0, m, config.accumulator_rows):
            some = padded[first : first + config.accumulator_rows]
            for tile in range(tiles):
                k = tile * rows
                weights = np.zeros((rows, config.array.columns), np.int8)
                block = product.weights[k : k + rows, n : n + len(used)]
                weights[: len(block), list(used)] = block
                for kind in raw if tile == tiles - 1 else (False,):
                    flags = {"first": tile == 0, "last": tile == tiles - 1, "raw": kind}
                    yield _Pass(some[:, k : k + rows], weights, constants, flags, first), n, used
                    constants = None


def _constants(
    config: AcceleratorConfig, bias: np.ndarray, requant: Requant, n: int, used: tuple[int, ...]
) -> np.ndarray:
    """The columns' constants as bytes int8 [bytes, C]."""
    channels = slice(n, n + len(used))
    lanes = np.zeros((len(CONSTANTS), config.array.columns), np.int64)
    for index, (name, values) in enumerate(
        (("bias", bias), ("multiplier", requant.multiplier), ("shift", requant.shift))
    ):
        lanes[index, list(used)] = values[channels]
        assert name == list(CONSTANTS)[index]
    for column in used:
        low, high = signed_range(config.sum_width(column))
        if not low <= lanes[0, column] <= high:
            raise UserError(f"bias = {lanes[0, column]} does not fit the sums of {config.sum_width(column)} bits")
    for index, name in enumerate(OF_LAYER, 3):
        value = getattr(requant, name)
        if not -128 <= value <= 127:
            raise UserError(f"requantiser {name} = {value} does not fit int8")
        lanes[index, 0] = value
    parts = [lanes[i, None].astype("<i8").view(np.uint8).reshape(1, -1, 8)[0, :, :size].T
             for i, size in enumerate(CONSTANTS.values())]  # fmt: skip
    return np.concatenate(parts).view(np.int8)


def _join(config: AcceleratorConfig, passes: Sequence[_Pass]) -> Beats:
    """The rows of every pass, beside them what the next one needs; a pass too short for that gets idle beats."""
    rows, parts = config.array.rows, []
    used = -1
    for index in range(-1, len(passes)):
        now = passes[index] if index >= 0 else None
        following = passes[index + 1] if index + 1 < len(passes) else None
        count = len(now.activations) if now else 0
        used += now is not None and now.constants is not None
        loads = np.zeros((0, config.array.columns), np.int8) if following is None else following.weights
        addresses = np.arange(len(loads))
        if following is not None and following.constants is not None:
            loads = np.concatenate([loads, following.constants])
            addresses = np.arange(len(loads))
        start = hold(config) if now else 0
        beats = _idle(config, max(count, start + len(loads) if len(loads) else 0))
        if now:
            beats.activations[:count] = now.activations
            beats.fields["compute"][:count] = True
            beats.fields["row"][:count] = np.arange(count)
            beats.fields["bank"][:count], beats.fields["constants"][:count] = index % 2, used % 2
            for name, flag in now.flags.items():
                beats.fields[name][:count] = flag
        place = slice(start, start + len(loads))
        beats.weights[place] = loads
        beats.fields["write"][place] = True
        beats.fields["address"][place] = addresses
        of_weights = addresses < rows
        beats.fields["write_bank"][place] = np.where(of_weights, (index + 1) % 2, (used + 1) % 2)
        parts.append(beats)
    whole = Beats(
        *(np.concatenate([getattr(one, name) for one in parts]) for name in ("activations", "weights", "fields"))
    )
    answering = np.flatnonzero(whole.fields["compute"] & whole.fields["last"])
    whole.fields["end"][answering[-1:]] = True
    return whole


def _idle(config: AcceleratorConfig, count: int) -> Beats:
    """Beats that do nothing."""
    shapes: Any = ((count, config.array.rows), np.int8), ((count, config.array.columns), np.int8), (count, BEAT)
    return Beats(*(np.zeros(*shape) for shape in shapes))
