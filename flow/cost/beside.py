"""The modules beside the dot columns: encoders, registers, banks, columns, control; their energy in a pass."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from slipstick.flow.library.liberty import Liberty
from slipstick.flow.power.activity import Activity
from slipstick.flow.power.gates import MappedNetlist
from slipstick.rtl.array.accumulators import Accumulators
from slipstick.rtl.array.banks import Banks
from slipstick.rtl.array.column import AccumulatorColumn
from slipstick.rtl.array.control import Control
from slipstick.rtl.array.product import Encoder
from slipstick.rtl.array.register import Register
from slipstick.rtl.array.tags import MeshTags
from slipstick.rtl.cells.cell import Cell
from slipstick.rtl.cells.dot_form import Encoding
from slipstick.rtl.spec.beats import MatrixProduct, schedule
from slipstick.rtl.spec.fixed import MULTIPLIER_BITS, SHIFT_BITS, Requant, requantise
from slipstick.rtl.spec.machine import AcceleratorConfig

from .emitted import mapped
from .timeline import Pass
from .unit import MappingError, Stimulus, Unit, bits_of

ACCUMULATE, REQUANTISE = "accumulate", "requantise"
COLUMNS = 4
"""Columns, or rows, of each tile that are simulated."""


@dataclass(frozen=True)
class Setting:
    """What all units have in common."""

    liberty: Liberty
    clock_ps: float

    def encoder(self, encoding: Encoding) -> Unit:
        """What encodes an operand."""
        return self._unit(Encoder, encoding)

    def register(self, width: int) -> Unit:
        """A register of the mesh or behind a lane."""
        return self._unit(Register, width)

    def banks(self, width: int) -> Unit:
        """Two registers in the place of one."""
        return self._unit(Banks, width)

    def column(self, width: int, rows: int) -> Unit:
        """What stands under a column, without its memory."""
        memory = Accumulators(width, rows).module_name
        parts = mapped(
            AccumulatorColumn, width, rows, liberty=self.liberty, clock_ps=self.clock_ps, left_out=frozenset({memory})
        )
        return Unit(parts, self.liberty, self.clock_ps, _column_part)

    def control(self, config: AcceleratorConfig) -> Unit:
        """The control of an accelerator."""
        return self._unit(Control, config)

    def tags(self, config: AcceleratorConfig) -> Unit:
        """The tags of its mesh."""
        return self._unit(MeshTags, sum(config.mesh) - 1)

    def _unit(self, kind: Any, *parameters: Any) -> Unit:
        return Unit(
            mapped(kind, *parameters, liberty=self.liberty, clock_ps=self.clock_ps), self.liberty, self.clock_ps
        )


def encoder_stimulus(words: Sequence[np.ndarray]) -> Stimulus:
    """An encoder on operands int8 [L] of several places, one sequence each."""
    return Stimulus({"operand": np.concatenate(words).astype(np.uint8).astype(np.int64)}, len(words), 0)


def register_stimulus(words: Sequence[np.ndarray], valid: np.ndarray) -> Stimulus:
    """A register that takes the bits [L, width] of each sequence where ``valid`` [L]."""
    valid = np.tile(valid.astype(np.int64), len(words))
    inputs = {"d": np.concatenate(words), "valid": valid, "advance": np.ones_like(valid)}
    return Stimulus(inputs, len(words), 1)


def banks_stimulus(words: Sequence[np.ndarray], writes: Sequence[np.ndarray], first: Sequence[np.ndarray]) -> Stimulus:
    """Banks on sequences of bits [L, width], written where ``writes`` [L]; bank 1 works and holds ``first`` [width]."""
    count, length = len(words), len(words[0])
    lead = 3
    d = [np.concatenate([own[None], own[None], other[-1:], other]) for own, other in zip(first, words, strict=True)]
    inputs = {name: np.zeros((count, lead + length), np.int64) for name in ("write", "write_bank", "bank")}
    inputs["write"][:, :2], inputs["write_bank"][:, 1], inputs["bank"][:, lead:] = 1, 1, 1
    inputs["write"][:, lead:] = np.stack(writes)
    flat = {name: values.ravel() for name, values in inputs.items()}
    return Stimulus({"d": np.concatenate(d)} | flat, count, lead - 1)


def column_stimulus(unit: Unit, cell: Cell, passes: Sequence[Pass], *, last: bool) -> Stimulus:
    """A column in a pass that stores its sums, or in the ``last`` one, whose sums are requantised.

    MappingError where an output is not that of ``spec.fixed.requantise``.
    """
    windows, expected = [], []
    for one in passes:
        before, after = one.sums_before(cell), one.sums_after(cell)
        late = one.mesh[0]
        requant = one.stream.requant or default_requant(one.stream.columns)
        for column in spread(one.stream.columns):
            sums = np.roll(after[:, column], late)
            stored = np.roll(one.working.astype(np.int64), late)
            shift, multiplier = int(requant.shift[column]), int(requant.multiplier[column])
            same = {"zero": requant.zero, "low": requant.low, "high": requant.high, "shift": shift}
            same |= {"multiplier": multiplier, "first": int(not len(one.stream.earlier_weights)), "raw": 0}
            same |= {"bias": int(one.stream.bias[column]), "finish_raw": 0}
            words = {name: np.full(one.length, value, np.int64) for name, value in same.items()}
            words |= {
                "sum": sums, "accumulators.stored": before[:, column],
                "store": stored * (not last), "multiply": stored * last, "finish": np.roll(stored, 1) * last,
                "read_row": one.rows(np.arange(one.count)) * one.working,
                "write_row": np.roll(np.arange(one.length), late),
            }  # fmt: skip
            windows.append(words)
            outputs = requantise(
                sums, np.int64(multiplier), np.int64(shift), requant.zero, requant.low, requant.high, np.where
            )
            expected.append((np.roll(outputs, 2), np.roll(stored, 2)))
    widths = {name: len(nets) for name, (_, nets) in unit.power.netlist.ports.items()}
    inputs = {
        name: bits_of(np.concatenate([one[name] for one in windows]), widths[name])
        for name in windows[0]
        if name in widths
    }

    def check(activity: Activity) -> None:
        lanes = activity.values("lane", signed=True).reshape(len(windows), -1)
        for got, (outputs, there) in zip(lanes, expected, strict=True):
            where = there.astype(bool)
            where[:4] = False
            if last and not np.array_equal(got[where], outputs[where]):
                raise MappingError(f"the mapped gates of {unit.synthesis.top} requantise to other values")

    return Stimulus(inputs, len(windows), 3, check)


def control_stimulus(config: AcceleratorConfig, products: Sequence[MatrixProduct]) -> Stimulus:
    """The control while it takes the beats of some products, one a cycle."""
    beats = schedule(config, products, raw=(False,)).beats
    ones = np.ones(len(beats), np.int64)
    words = {
        "user": beats.user().astype(np.int64), "last": beats.fields["end"].astype(np.int64), "valid": ones,
        "weight": beats.weights[:, 0].astype(np.uint8).astype(np.int64), "answer_ready": ones, "rst": 0 * ones,
    }  # fmt: skip
    return Stimulus(words, 1, 2)


def tags_stimulus(valid: np.ndarray) -> Stimulus:
    """The mesh's tags while rows are taken where ``valid`` [L]."""
    ones = np.ones(len(valid), np.int64)
    words = {"advance": ones, "valid": valid.astype(np.int64), "bank": ones, "rst": 0 * ones}
    return Stimulus(words, 1, 2)


def default_requant(columns: int) -> Requant:
    """A requantiser for streams without one of their own."""
    return Requant(
        np.full(columns, 3 << (MULTIPLIER_BITS - 2)), np.full(columns, min(24, (1 << SHIFT_BITS) - 1)), 0, -128, 127
    )


def spread(count: int) -> list[int]:
    """At most COLUMNS places of ``count``, evenly spread."""
    return sorted({round(x) for x in np.linspace(0, count - 1, min(COLUMNS, count))})


def _column_part(netlist: MappedNetlist, name: str) -> str:
    requantises = name.startswith("requantiser.") or name in ("multiplier", "shift", "zero", "low", "high")
    return REQUANTISE if requantises else ACCUMULATE
