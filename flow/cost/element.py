"""A processing element as mapped gates: its cost, and its energy on real operand streams."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from slipstick.errors import UserError
from slipstick.flow.library.liberty import Liberty
from slipstick.flow.power.activity import DELAY_MODEL, Activity, simulate
from slipstick.flow.power.cell_power import NO_ENERGY, Energy
from slipstick.flow.power.gates import check_against_table
from slipstick.flow.power.power import GroupEnergy, PowerModel, power_model
from slipstick.flow.power.synth import Synthesis
from slipstick.rtl.cells.cell import Cell
from slipstick.rtl.spec.array import signed_width
from slipstick.rtl.spec.streams import ElementSequences, TileStream
from slipstick.store import Store, digest

from .groups import ACTIVATION_REGISTER, ADDER, MULTIPLIER, REGISTERS, UNUSED, WEIGHT_LOADING, element_groups, plain
from .modules import constant_low_bits, used_bits
from .surroundings import pin_toggles
from .timeline import boundary_timeline

SAMPLES = 8192
"""Vectors simulated per cell and layer; Monte Carlo noise of the total is about 0.2 %."""
_WINDOW = 32
_SETTLE = 1  # the sum register shows its first real value one cycle into a sequence
_SEED = 2026
_RESULT_VERSION = 5


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


Groups = dict[str, GroupEnergy]
PARTS = (MULTIPLIER, ADDER, WEIGHT_LOADING, "registers", "clock pins")
_NOTHING = GroupEnergy(NO_ENERGY, NO_ENERGY)


@dataclass(frozen=True)
class EnergyPerMac:
    """Energy of one multiply-accumulate on a layer's streams, one a cycle, by part (``groups``).

    ``multiplier`` is the cell mapped alone; the groups are those of the whole element, measured in
    place. ``load_groups`` and ``idle_groups`` are an element's in a cycle that shifts weights, which pass
    as activations too, and in one in which nothing moves; they count at array level. ``pin_toggles``
    are transitions of an input pin other than the clock's, in a MAC and in a cycle that loads.
    """

    multiplier: Energy
    groups: Groups
    load_groups: Groups
    idle_groups: Groups
    cycles: int
    pin_toggles: float = 0.0
    load_pin_toggles: float = 0.0

    @property
    def multiplier_fj(self) -> float:
        """Total of the multiplier alone."""
        return self.multiplier.total_fj

    @cached_property
    def pe(self) -> Energy:
        """The whole element."""
        return _total(self.groups)

    @cached_property
    def load(self) -> Energy:
        """The element in a cycle that shifts weights."""
        return _total(self.load_groups)

    @cached_property
    def idle(self) -> Energy:
        """The element in a cycle in which nothing moves."""
        return _total(self.idle_groups)

    @property
    def registers(self) -> Energy:
        """The element's registers, clock pins included."""
        return _total({name: one for name, one in self.groups.items() if plain(name) in REGISTERS})

    @property
    def pe_fj(self) -> float:
        """Total of the processing element."""
        return self.pe.total_fj

    @property
    def parts_fj(self) -> dict[str, float]:
        """The element's total by part: multiplier, adder, weight loading, registers, clock pins."""
        return self.parts_of(self.groups)

    @staticmethod
    def parts_of(groups: Groups, presence: Mapping[str, float] | None = None) -> dict[str, float]:
        """Totals by part, fJ; ``presence`` is the share of the elements that have each group."""
        parts = dict.fromkeys(PARTS, 0.0)
        for name, one in groups.items():
            share = 1.0 if presence is None else presence[name]
            parts["registers" if plain(name) in REGISTERS else plain(name)] += share * one.data.total_fj
            parts["clock pins"] += share * one.clock_pins.total_fj
        return parts


def _total(groups: Groups) -> Energy:
    return NO_ENERGY.plus(*(one.total for one in groups.values()))


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
        self,
        streams: Sequence[TileStream],
        *,
        samples: int = SAMPLES,
        rows: int | None = None,
        store: Store | None = None,
    ) -> EnergyPerMac:
        """Energy of a MAC on the streams of one layer in an array of ``rows``; kept by content.

        ``rows`` are by default those of the tallest tile. Weights pass an array of as many columns.
        """
        rows = rows or max(len(stream.weights) for stream in streams)
        parts = [part for stream in streams for part in (stream.activations, stream.weights)]
        key = digest(
            self.cell.digest, self.multiplier.key, self.pe.key, self.clock_ps, samples, rows, DELAY_MODEL,
            _RESULT_VERSION, *parts,
        )  # fmt: skip
        found = (store or Store("energy")).json(key, lambda: self._measure(streams, samples, rows))
        active, load, idle = (
            {name: GroupEnergy(Energy(*own), Energy(*clock)) for name, (own, clock) in found[phase].items()}
            for phase in ("active", "load", "idle")
        )
        alone, (moved, moved_loading) = Energy(*found["multiplier"]), found["pin_toggles"]
        return EnergyPerMac(alone, active, load, idle, found["cycles"], moved, moved_loading)

    @cached_property
    def groups(self) -> dict[str, str]:
        """Part of the element by instance and input port (``groups``)."""
        width = signed_width(int(self.cell.table.min()), int(self.cell.table.max()))
        return element_groups(self.pe_power.netlist, width, used_bits(self.cell))

    @cached_property
    def flops(self) -> dict[str, int]:
        """Flip-flops by group."""
        return dict(Counter(self.groups[flop.name] for flop in self.pe_power.netlist.flops))

    @cached_property
    def group_area_um2(self) -> dict[str, float]:
        """Area by group."""
        netlist, area = self.pe_power.netlist, dict.fromkeys(self.groups.values(), 0.0)
        for one in (*netlist.flops, *netlist.gates):
            area[self.groups[one.name]] += one.cell.area_um2
        return area

    def presence(self, rows: int, passing: float, passing_unused: float = 0.0) -> dict[str, float]:
        """Share of an array's elements of this cell that have each group.

        The first row adds nothing, and row r can move at most r bits above the product's. ``passing`` is
        the share of these elements whose activation another takes on, ``passing_unused`` that of those
        where it takes bits that this cell ignores.
        """
        width = signed_width(int(self.cell.table.min()), int(self.cell.table.max()))
        found = {}
        for name in set(self.groups.values()):
            group, _, bit = name.partition(" bit ")
            if bit == UNUSED:
                found[name] = passing_unused if group == ACTIVATION_REGISTER else 0.0
            elif group == ACTIVATION_REGISTER:
                found[name] = passing
            else:
                missing = int(bit) - width + 1 if bit else int(group == ADDER)
                found[name] = max(0, rows - missing) / rows
        return found

    def _measure(self, streams: Sequence[TileStream], samples: int, rows: int) -> dict[str, Any]:
        sequences = sample_elements(streams, self.cell, samples)
        shape = sequences.activation.shape
        a, w = sequences.activation.ravel(), sequences.weight.ravel()
        alone = simulate(self.multiplier_power.netlist, {"a": a, "w": w}, segments=shape[0], settle=_SETTLE)
        active = self._simulate(sequences, sequences.weight)
        windows = waiting_windows(streams, self.cell, rows, samples)
        still = ElementSequences(*(np.repeat(x[:, :1], _SETTLE + 2, axis=1) for x in vars(sequences).values()))
        still = replace(still, activation=np.zeros_like(still.activation), sum_in=np.zeros_like(still.sum_in))
        report = self.pe_power.report_groups
        idle = report(self._simulate(still, still.weight), self.groups)
        passing = self._simulate(windows.sequences, windows.weights_in, windows.load)
        waiting = report(passing, self.groups)
        drain = 2 * rows
        load = {
            name: GroupEnergy(*(
                one.scaled((rows + drain) / rows).plus(rest.scaled(-drain / rows))
                for one, rest in zip(waiting[name], idle.get(name, _NOTHING), strict=True)
            ))
            for name in waiting
        }  # fmt: skip
        return {
            "multiplier": self.multiplier_power.report(alone).total,
            "active": report(active, self.groups),
            "load": load,
            "idle": idle,
            "cycles": active.cycles,
            "pin_toggles": [pin_toggles(active), pin_toggles(passing) * (rows + drain) / rows],
        }

    def _simulate(
        self, sequences: ElementSequences, weights_in: np.ndarray, load: np.ndarray | None = None
    ) -> Activity:
        """Waveforms of the element; MappingError where its sums are not those of the table."""
        a, w, sums = sequences.activation, sequences.weight, sequences.sum_in
        inputs = {"activation_in": a.ravel(), "weight_in": weights_in.ravel(), "sum_in": sums.ravel()}
        inputs["load"] = np.zeros_like(a).ravel() if load is None else load.astype(np.int64).ravel()
        activity = simulate(self.pe_power.netlist, inputs, {"weight_out": w.ravel()}, segments=len(a), settle=_SETTLE)
        low = constant_low_bits(self.cell)  # tied in the sum from above, as ``column_element_verilog`` tells
        expected = (sums >> low << low) + self.cell.table[a & 0xFF, w & 0xFF]
        if not np.array_equal(activity.values("sum_out", signed=True).reshape(a.shape)[:, 1:], expected[:, :-1]):
            raise MappingError(f"the mapped processing element of {self.name!r} computes other sums than its table")
        return activity


@dataclass(frozen=True)
class WaitingWindows:
    """Elements between two tiles: ``sequences``, and ``weights_in`` int64 and ``load`` bool of the same shape."""

    sequences: ElementSequences
    weights_in: np.ndarray
    load: np.ndarray


def waiting_windows(streams: Sequence[TileStream], cell: Cell, rows: int, samples: int = SAMPLES) -> WaitingWindows:
    """Elements from a tile's last row of activations to the next tile's first, the weights' passage in between.

    In an array of ``rows`` x ``rows``: 3 ``rows`` counted cycles each. Drawn by shapes only, like ``sample_elements``.
    """
    line = boundary_timeline(streams, rows)
    starts, count = line.waiting_starts, line.waiting + 1 + _SETTLE
    wanted = max(1, round(samples / line.waiting))
    rng = np.random.default_rng(_SEED)
    row, column = rng.integers(0, rows, (2, wanted))
    boundary = rng.permutation(wanted) % len(starts)
    times = (starts[boundary] + row + column - _SETTLE)[:, None] + np.arange(count)
    sums = line.sums([cell] * rows)
    place = row[:, None], column[:, None]
    sequences = ElementSequences(*(x[times, *place] for x in (line.activations, line.weights, sums)))
    return WaitingWindows(sequences, line.weights_in[times, *place], line.load[times])


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
