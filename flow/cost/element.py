"""A processing element as mapped gates: its cost, and its energy on real operand streams."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from slipstick.errors import UserError
from slipstick.flow.library.liberty import Liberty
from slipstick.flow.power.activity import DELAY_MODEL, simulate
from slipstick.flow.power.cell_power import NO_ENERGY, Energy
from slipstick.flow.power.gates import check_against_table
from slipstick.flow.power.power import PowerModel, power_model
from slipstick.flow.power.synth import Synthesis
from slipstick.rtl.cells.cell import Cell
from slipstick.rtl.spec.streams import ElementSequences, TileStream
from slipstick.store import Store, digest

SAMPLES = 8192
"""Vectors simulated per cell and layer; Monte Carlo noise of the total is about 0.2 %."""
_WINDOW = 32
_SETTLE = 1  # the sum register shows its first real value one cycle into a sequence
_SEED = 2026
_RESULT_VERSION = 3


class MappingError(Exception):
    """A mapped netlist does not compute what it should: a fault of a tool or of the Liberty file."""


@dataclass(frozen=True)
class CellCost:
    """Area (um2) and delay (ps) of a cell alone and in its processing element.

    Delays are NLDM paths of this flow's own timing: the multiplier from operand to product, the element
    from clock edge or input port through set-up. ``sum_width`` is that of the element.
    """

    name: str
    area_um2: float
    delay_ps: float
    gate_count: int
    pe_area_um2: float
    pe_delay_ps: float
    pe_gate_count: int
    sum_width: int

    @property
    def f_max_mhz(self) -> float:
        """Fastest clock of the processing element."""
        return 1e6 / self.pe_delay_ps


@dataclass(frozen=True)
class EnergyPerMac:
    """Energy of one multiply-accumulate on a layer's streams, one a cycle, zero-delay activity.

    ``multiplier`` is the cell mapped alone; ``pe`` the whole element, of which ``registers`` (with
    their clock pins) is measured in place. ``load`` and ``idle`` are an element's energy in a cycle
    that shifts weights, and in one in which nothing moves; they count at array level.
    """

    multiplier: Energy
    pe: Energy
    registers: Energy
    load: Energy
    idle: Energy
    cycles: int

    @property
    def multiplier_fj(self) -> float:
        """Total of the multiplier alone."""
        return self.multiplier.total_fj

    @property
    def pe_fj(self) -> float:
        """Total of the processing element."""
        return self.pe.total_fj

    @property
    def adder_fj(self) -> float:
        """The rest of the element: adder, weight multiplexer and input pins, less what mapping them together gains."""
        return self.pe_fj - self.registers.total_fj - self.multiplier_fj


@dataclass(frozen=True)
class Element:
    """A multiplier and its processing element, mapped; ``cell`` gives the products."""

    name: str
    cell: Cell
    sum_width: int
    multiplier: Synthesis
    pe: Synthesis
    liberty: Liberty
    clock_ps: float

    @property
    def multiplier_power(self) -> PowerModel:
        """Power model of the multiplier alone."""
        return power_model(self.multiplier, self.liberty, self.clock_ps)

    @property
    def pe_power(self) -> PowerModel:
        """Power model of the processing element."""
        return power_model(self.pe, self.liberty, self.clock_ps)

    @cached_property
    def cost(self) -> CellCost:
        """Area, delay and gates."""
        return CellCost(
            self.name,
            self.multiplier.area_um2,
            self.multiplier_power.timing.delay_ps,
            self.multiplier.gate_count,
            self.pe.area_um2,
            self.pe_power.timing.delay_ps,
            self.pe.gate_count,
            self.sum_width,
        )

    def check(self, store: Store | None = None) -> None:
        """Compare the mapped multiplier with the table on every operand pair; MappingError where they differ."""
        key = digest(self.multiplier.key, self.cell.digest, _RESULT_VERSION)
        wrong = (store or Store("check")).json(
            key, lambda: check_against_table(self.multiplier_power.netlist, self.cell)
        )
        if wrong:
            raise MappingError(f"the mapped gates of {self.name!r} differ from its table on {wrong} operand pairs")

    def energy(
        self, streams: Sequence[TileStream], *, samples: int = SAMPLES, store: Store | None = None
    ) -> EnergyPerMac:
        """Energy of a MAC on the streams of one layer; kept by content."""
        parts = [part for stream in streams for part in (stream.activations, stream.weights)]
        key = digest(
            self.cell.digest, self.multiplier.key, self.pe.key, self.clock_ps, samples, DELAY_MODEL, _RESULT_VERSION,
            *parts,
        )  # fmt: skip
        found = (store or Store("energy")).json(key, lambda: self._measure(streams, samples))
        shares = {name: Energy(*value) for name, value in found.items() if name != "cycles"}
        return EnergyPerMac(**shares, cycles=found["cycles"])

    def _measure(self, streams: Sequence[TileStream], samples: int) -> dict[str, Any]:
        sequences = sample_elements(streams, self.cell, samples)
        segments = len(sequences.activation)
        a, w, sums = sequences.activation.ravel(), sequences.weight.ravel(), sequences.sum_in.ravel()
        alone = simulate(self.multiplier_power.netlist, {"a": a, "w": w}, segments=segments, settle=_SETTLE)
        whole = simulate(
            self.pe_power.netlist, {"activation_in": a, "weight_in": w, "sum_in": sums}, {"weight_out": w},
            segments=segments, settle=_SETTLE,
        )  # fmt: skip
        sums_out = whole.values("sum_out", signed=True).reshape(segments, -1)[:, 1:]
        expected = sequences.sum_in + self.cell.table[sequences.activation & 0xFF, sequences.weight & 0xFF]
        if not np.array_equal(sums_out, expected[:, :-1]):
            raise MappingError(f"the mapped processing element of {self.name!r} computes other sums than its table")
        report = self.pe_power.report(whole)
        return {
            "multiplier": self.multiplier_power.report(alone).total,
            "pe": report.total,
            "registers": report.registers,
            "load": self._load(streams),
            "idle": self._idle(sequences),
            "cycles": whole.cycles,
        }

    def _load(self, streams: Sequence[TileStream]) -> Energy:
        """A cycle in which the weights of a column shift down past a zero activation."""
        tiles = [stream.weights.astype(np.int64) for stream in streams]
        longest = max(len(tile) for tile in tiles)
        if longest < _SETTLE + 2:
            return NO_ENERGY
        columns = np.concatenate([tile[::-1].T for tile in tiles if len(tile) == longest])  # [columns, R]
        words = columns.ravel()
        inputs = {"weight_in": words, "load": np.ones_like(words), "activation_in": np.zeros_like(words)}
        activity = simulate(self.pe_power.netlist, inputs, segments=len(columns), settle=_SETTLE)
        return self.pe_power.report(activity).total

    def _idle(self, sequences: ElementSequences) -> Energy:
        """A cycle in which nothing moves: clock pins and leakage, averaged over the weights."""
        weights = np.repeat(sequences.weight[:, 0], _SETTLE + 2)
        zeros = np.zeros_like(weights)
        activity = simulate(
            self.pe_power.netlist, {"activation_in": zeros, "weight_in": weights}, {"weight_out": weights},
            segments=len(sequences.weight), settle=_SETTLE,
        )  # fmt: skip
        return self.pe_power.report(activity).total


def sample_elements(streams: Sequence[TileStream], cell: Cell, samples: int = SAMPLES) -> ElementSequences:
    """Sequences of elements drawn evenly from all tiles and positions, about ``samples`` counted cycles.

    The draw depends on the shapes only, so all cells see the same elements and their differences carry
    no sampling noise. UserError when a tile streams fewer than three rows.
    """
    shortest = min(len(stream.activations) for stream in streams)
    if shortest < _SETTLE + 2:
        raise UserError(
            f"a stream of layer {streams[0].layer!r} has {shortest} rows of activations; "
            f"record at least {_SETTLE + 2}, from several images if need be"
        )
    length = min(_WINDOW + 1 + _SETTLE, shortest)
    wanted = max(1, round(samples / (length - 1 - _SETTLE) / len(streams)))
    rng = np.random.default_rng(_SEED)
    parts = []
    for stream in streams:
        rows, columns = stream.weights.shape
        places = np.concatenate([rng.permutation(rows * columns) for _ in range(-(-wanted // (rows * columns)))])
        places = places[:wanted]
        starts = rng.integers(0, len(stream.activations) - length + 1, wanted)
        parts.append(stream.element_sequences(cell, places // columns, places % columns, starts, length))
    return ElementSequences.join(parts)
