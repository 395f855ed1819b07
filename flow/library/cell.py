"""A cell of a Liberty library: pins, delays, energies and state.

Units: capacitance fF, time ps, energy fJ, leakage nW, area as the file states it (um2 in practice).
Internal energy has no unit of its own in Liberty: it is voltage unit squared times capacitance unit.
Signs are kept: internal energies may be negative.
"""

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Table:
    """A look-up table over input slew (ps) and load (fF, or ps where it is a constraint)."""

    slew: tuple[float, ...]
    load: tuple[float, ...]
    values: tuple[tuple[float, ...], ...]

    def at(self, slew: float, load: float) -> float:
        """Bilinear value, extrapolated linearly beyond the axes; no clipping."""
        i, x = _place(self.slew, slew)
        j, y = _place(self.load, load)
        rows = [
            row[j] + y * (row[j + 1] - row[j]) if len(self.load) > 1 else row[0]
            for row in (self.values[i : i + 2] if len(self.slew) > 1 else self.values[:1])
        ]
        return rows[0] + x * (rows[1] - rows[0]) if len(rows) > 1 else rows[0]


def _place(axis: tuple[float, ...], value: float) -> tuple[int, float]:
    if len(axis) < 2:
        return 0, 0.0
    index = min(max(bisect_right(axis, value) - 1, 0), len(axis) - 2)
    return index, (value - axis[index]) / (axis[index + 1] - axis[index])


@dataclass(frozen=True)
class TimingArc:
    """Delay and output slew in ps from ``related_pin``; ``setup`` tables where it is a constraint."""

    related_pin: str
    sense: str
    kind: str
    delay_rise: Table | None = None
    delay_fall: Table | None = None
    slew_rise: Table | None = None
    slew_fall: Table | None = None
    setup_rise: Table | None = None
    setup_fall: Table | None = None


@dataclass(frozen=True)
class InternalPower:
    """Energy in fJ of one transition of a pin: of the pin alone, or from ``related_pin`` to it."""

    related_pin: str | None
    when: str | None
    supply: str | None
    rise: Table | None
    fall: Table | None


@dataclass(frozen=True)
class Pin:
    """A pin; ``function`` and ``three_state`` are Liberty expressions."""

    name: str
    direction: str
    function: str | None
    three_state: bool
    clock: bool
    capacitance_rise_ff: float
    capacitance_fall_ff: float
    timing: tuple[TimingArc, ...]
    internal: tuple[InternalPower, ...]


@dataclass(frozen=True)
class Flop:
    """An ``ff`` group: state names (``IQ``, ``IQN``) and its expressions."""

    state: str
    inverse: str
    clocked_on: str
    next_state: str
    clear: str | None
    preset: str | None
    both: str = "L"


@dataclass(frozen=True)
class Latch:
    """A ``latch`` group, or the one in a clock gate: state names and its expressions; open while ``enable`` is 1."""

    state: str
    inverse: str
    enable: str
    data_in: str
    clear: str | None
    preset: str | None
    both: str = "L"


@dataclass(frozen=True)
class LibertyCell:
    """A cell: area, pins, leakage by disjoint states (when, nW) and in those that these leave, and its state.

    ``clock_gate`` is Liberty's name of a clock gate's kind; ``is_opaque`` where the cell holds state of another kind
    than a flip-flop's or a latch's (banks, tables of states), which cannot be simulated.
    """

    name: str
    area_um2: float
    pins: dict[str, Pin]
    leakage_nw: float
    leakage_states: tuple[tuple[str, float], ...]
    flop: Flop | None
    latch: Latch | None
    clock_gate: str | None
    is_opaque: bool
    dont_use: bool

    @cached_property
    def inputs(self) -> tuple[Pin, ...]:
        """Input pins."""
        return tuple(pin for pin in self.pins.values() if pin.direction == "input")

    @cached_property
    def outputs(self) -> tuple[Pin, ...]:
        """Output pins."""
        return tuple(pin for pin in self.pins.values() if pin.direction == "output")

    @property
    def element(self) -> Flop | Latch | None:
        """The flip-flop or latch that holds the cell's state."""
        return self.flop or self.latch

    @property
    def is_latch(self) -> bool:
        """Whether it holds state in something else than a flip-flop."""
        return self.latch is not None or self.is_opaque

    @property
    def is_combinational(self) -> bool:
        """Every output is a function of the inputs, without state or high impedance."""
        return (
            self.flop is None
            and not self.is_latch
            and bool(self.outputs)
            and all(pin.function and not pin.three_state for pin in self.outputs)
        )


def _table(model: list[Any] | None) -> Table | None:
    return Table(tuple(model[0]), tuple(model[1]), tuple(map(tuple, model[2]))) if model else None


def cell_of(model: dict[str, Any]) -> LibertyCell:
    """The cell of a JSON model that ``reader.library_model`` made."""
    pins = {
        pin["name"]: Pin(
            pin["name"], pin["direction"], pin["function"], pin["three_state"], pin["clock"], pin["rise"], pin["fall"],
            tuple(TimingArc(*arc[:3], *map(_table, arc[3:])) for arc in pin["timing"]),
            tuple(InternalPower(*arc[:3], *map(_table, arc[3:])) for arc in pin["internal"]),
        )
        for pin in model["pins"]
    }  # fmt: skip
    return LibertyCell(
        model["name"], model["area"], pins, model["leakage"] or 0.0,
        tuple((when, value) for when, value in model["states"]),
        Flop(*model["flop"]) if model["flop"] else None, Latch(*model["latch"]) if model["latch"] else None,
        model["clock_gate"], model["opaque"], model["dont_use"],
    )  # fmt: skip
