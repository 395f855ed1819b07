"""A processing element as mapped gates: its cost, and its energy on real operand streams."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from slipstick.errors import UserError
from slipstick.flow.library.liberty import Liberty
from slipstick.flow.power.activity import Activity, simulate
from slipstick.flow.power.cell_power import Energy
from slipstick.flow.power.delays import Delays
from slipstick.flow.power.gates import check_against_table
from slipstick.flow.power.glitches import with_glitches
from slipstick.flow.power.power import GroupEnergy, PowerModel, power_model
from slipstick.flow.power.synth import Synthesis
from slipstick.rtl.cells.cell import Cell
from slipstick.rtl.spec.streams import ElementSequences, TileStream
from slipstick.rtl.spec.widths import signed_width
from slipstick.sources import code_digest
from slipstick.store import Store, digest

from .groups import ACTIVATION_REGISTER, ADDER, UNUSED, element_groups
from .mac import NOTHING, EnergyPerMac
from .modules import ELEMENT_CHAIN, constant_low_bits, used_bits
from .samples import SAMPLES, SETTLE, sample_elements, waiting_windows
from .surroundings import pin_toggles


class MappingError(UserError):
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
class Element:
    """A multiplier and its processing element, mapped; ``cell`` gives the products, ``delays`` the glitches."""

    name: str
    cell: Cell
    sum_width: int
    multiplier: Synthesis
    pe: Synthesis
    liberty: Liberty
    clock_ps: float
    delays: Delays = Delays.ZERO

    @property
    def multiplier_power(self) -> PowerModel:
        """Power model of the multiplier alone."""
        return power_model(self.multiplier, self.liberty, self.clock_ps)

    @property
    def pe_power(self) -> PowerModel:
        """Power model of the processing element."""
        return power_model(self.pe, self.liberty, self.clock_ps, ELEMENT_CHAIN)

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
        key = digest(self.multiplier.key, self.cell.digest, code_digest(__name__))
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
            self.cell.digest, self.multiplier.key, self.pe.key, self.clock_ps, samples, rows, self.delays.name,
            code_digest(__name__), *parts,
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
        alone = simulate(self.multiplier_power.netlist, {"a": a, "w": w}, segments=shape[0], settle=SETTLE)
        alone = with_glitches(alone, self.delays, self.multiplier_power.timing)
        active = self._simulate(sequences, sequences.weight)
        windows = waiting_windows(streams, self.cell, rows, samples)
        still = ElementSequences(*(np.repeat(x[:, :1], SETTLE + 2, axis=1) for x in vars(sequences).values()))
        still = replace(still, activation=np.zeros_like(still.activation), sum_in=np.zeros_like(still.sum_in))
        report = self.pe_power.report_groups
        idle = report(self._simulate(still, still.weight), self.groups)
        passing = self._simulate(windows.sequences, windows.weights_in, windows.load)
        waiting = report(passing, self.groups)
        drain = 2 * rows
        load = {
            name: GroupEnergy(*(
                one.scaled((rows + drain) / rows).plus(rest.scaled(-drain / rows))
                for one, rest in zip(waiting[name], idle.get(name, NOTHING), strict=True)
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
        activity = simulate(self.pe_power.netlist, inputs, {"weight_out": w.ravel()}, segments=len(a), settle=SETTLE)
        low = constant_low_bits(self.cell)  # tied in the sum from above, as ``column_element_verilog`` tells
        expected = (sums >> low << low) + self.cell.table[a & 0xFF, w & 0xFF]
        if not np.array_equal(activity.values("sum_out", signed=True).reshape(a.shape)[:, 1:], expected[:, :-1]):
            raise MappingError(f"the mapped processing element of {self.name!r} computes other sums than its table")
        return with_glitches(activity, self.delays, self.pe_power.timing)
