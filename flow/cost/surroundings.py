"""What an array needs besides its processing elements: skew registers, accumulator adders, control.

Each is a small module, mapped and simulated on the same operand streams. The accumulators' memory is
not included.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from slipstick.flow.library.liberty import Liberty
from slipstick.flow.power.activity import Activity, simulate
from slipstick.flow.power.cell_power import Energy
from slipstick.flow.power.delays import Delays
from slipstick.flow.power.glitches import with_glitches
from slipstick.flow.power.power import power_model
from slipstick.flow.power.synth import Synthesis, synthesise
from slipstick.rtl.cells.cell import Cell
from slipstick.rtl.spec.array import sum_range
from slipstick.rtl.spec.streams import TileStream
from slipstick.rtl.spec.widths import signed_width
from slipstick.sources import code_digest
from slipstick.store import Store, digest

from .modules import (
    DELAY_CHAIN,
    DELAY_REGISTER,
    accumulator_verilog,
    constant_low_bits,
    control_verilog,
    delay_register_verilog,
    requantiser_verilog,
    used_bits,
)
from .timeline import boundary_timeline

ACCUMULATION_DEPTH = 64
"""Weight tiles whose sums one accumulator holds; it decides the adder's width."""
_CONTROL_WIDTH = 16


@dataclass(frozen=True)
class Peripheral:
    """A module beside the array, such as a requantiser, and the words that it sees when in use.

    ``inputs`` int [n] by input port, ``registers`` int [n] for registers that hold their value;
    ``booth`` maps its multiplications as Booth's. ``waiting`` gives the inputs between two tiles, in
    ``waiting_segments`` sequences of equal length; without it nothing moves then.
    """

    name: str
    verilog: str = field(repr=False)
    top: str
    inputs: Mapping[str, np.ndarray] = field(repr=False)
    registers: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)
    booth: bool = False
    waiting: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)
    waiting_segments: int = 1


@dataclass(frozen=True)
class PeripheralCost:
    """Area, delay, flip-flops, and energy of a cycle in use, of one between two tiles, and of one at rest.

    ``pin_toggles`` are transitions a cycle, summed over all input pins but the clock's: in use and between tiles.
    """

    area_um2: float
    delay_ps: float
    flops: int
    active: Energy
    waiting: Energy
    idle: Energy
    pin_toggles: tuple[float, float]


def requantiser(
    accumulators: np.ndarray,
    width: int,
    *,
    multiplier: int | np.ndarray,
    shift: int | np.ndarray,
    zero: int = 0,
    low: int = -128,
    high: int = 127,
) -> Peripheral:
    """The requantiser of one column at work: ``accumulators`` int [n] of ``width`` bits, one a cycle.

    ``multiplier`` and ``shift`` are one number, or [n] where the words come from several channels.
    """
    words = {"accumulator": accumulators.astype(np.int64)}
    settings = {"multiplier": multiplier, "enable": 1, "shift": shift, "zero": zero, "low": low, "high": high}
    shape = accumulators.shape
    words |= {name: np.broadcast_to(value, shape).astype(np.int64) for name, value in settings.items()}
    return Peripheral("requantiser", requantiser_verilog(width), "requantiser", words, booth=True)


def measure(
    peripheral: Peripheral, liberty: Liberty, clock_ps: float, delays: Delays = Delays.ZERO, store: Store | None = None
) -> PeripheralCost:
    """Map a module and measure it on its words under ``delays``; kept by content."""
    mapped = synthesise(peripheral.verilog, peripheral.top, liberty, clock_ps=clock_ps, booth=peripheral.booth)
    words = {"": np.array(peripheral.waiting_segments)}
    for kind, part in (("", peripheral.inputs), ("", peripheral.registers), ("waiting ", peripheral.waiting)):
        words |= {kind + name: values for name, values in part.items()}
    names = sorted(words)
    key = digest(mapped.key, clock_ps, delays.name, names, *(words[name] for name in names), code_digest(__name__))
    found = (store or Store("energy")).json(key, lambda: _measure(peripheral, mapped, liberty, clock_ps, delays))
    active, waiting, idle = (Energy(*found[phase]) for phase in ("active", "waiting", "idle"))
    toggles = tuple(found["pin_toggles"])
    return PeripheralCost(mapped.area_um2, found["delay_ps"], found["flops"], active, waiting, idle, toggles)


def _measure(
    peripheral: Peripheral, mapped: Synthesis, liberty: Liberty, clock_ps: float, delays: Delays
) -> dict[str, Any]:
    power = power_model(mapped, liberty, clock_ps, DELAY_CHAIN if peripheral.top == DELAY_REGISTER else ())
    netlist = power.netlist
    active = simulate(netlist, peripheral.inputs, peripheral.registers, settle=2)
    given = (peripheral.inputs, peripheral.registers)
    still = [{name: np.repeat(words[:1], 8) for name, words in part.items()} for part in given]
    waiting = idle = simulate(netlist, *still, settle=2)
    if peripheral.waiting:
        waiting = simulate(netlist, peripheral.waiting, segments=peripheral.waiting_segments, settle=1)
    active, waiting, idle = (with_glitches(one, delays, power.timing) for one in (active, waiting, idle))
    return {
        "delay_ps": power.timing.delay_ps,
        "flops": len(netlist.flops),
        **{name: power.report(one).total for name, one in (("active", active), ("waiting", waiting), ("idle", idle))},
        "pin_toggles": [pin_toggles(active), pin_toggles(waiting)],
    }


def pin_toggles(activity: Activity) -> float:
    """Transitions a cycle, summed over all input pins of gates and flip-flops but clock pins."""
    netlist = activity.netlist
    signal = np.ones(netlist.net_count)
    signal[list(netlist.clock_nets)] = 0
    return float((netlist.fanout * activity.density * signal).sum())


@dataclass(frozen=True)
class Surroundings:
    """Costs of one array's surroundings on one layer: of one register, adder, and the control.

    A ``skew`` register holds the bits of an activation that the cell reads, a ``deskew`` register those
    of a column's sums that ever move.
    """

    skew: PeripheralCost
    deskew: PeripheralCost
    accumulate: PeripheralCost
    control: PeripheralCost


def accumulator_width(cell: Cell, rows: int, depth: int = ACCUMULATION_DEPTH) -> int:
    """Bits of the accumulator of a column of equal cells over ``depth`` tiles and a bias of equal range."""
    low, high = sum_range([cell] * rows)
    return signed_width(2 * low * depth, 2 * high * depth)


def surroundings(
    streams: Sequence[TileStream],
    cell: Cell,
    sum_width: int,
    rows: int,
    liberty: Liberty,
    clock_ps: float,
    delays: Delays = Delays.ZERO,
) -> Surroundings:
    """Measure the surroundings of a column of ``cell`` on the streams of one layer.

    The stored sums that an accumulator adds to are those of the layer's other tiles, or of the next
    column where there is one tile only.
    """
    activations = np.concatenate([stream.activations.T.ravel() for stream in streams]).astype(np.int64)
    sums = [stream.column_sums(cell).T for stream in streams]  # [C, T] each
    now = np.concatenate([one.ravel() for one in sums])
    other = [np.roll(one, 1, axis=0) for one in sums]
    if len(sums) > 1 and len({one.shape for one in sums}) == 1:
        other = sums[1:] + sums[:1]
    stored = np.concatenate([one.ravel() for one in other])
    width, low = accumulator_width(cell, rows), constant_low_bits(cell)
    beats, leaving = _between_tiles(streams, cell, rows)
    bits = [bit for bit in range(8) if used_bits(cell)[0] >> bit & 1] or [0]  # a cell may read none
    cycles, length = np.arange(4096), len(streams[0].activations)
    parts = {
        "skew": Peripheral(
            "skew", delay_register_verilog(len(bits)), DELAY_REGISTER, {"d": _bits(activations, bits)},
            waiting={"d": _bits(beats.ravel(), bits)}, waiting_segments=len(beats),
        ),
        "deskew": Peripheral(
            "deskew", delay_register_verilog(sum_width - low), DELAY_REGISTER, {"d": now >> low},
            waiting={"d": leaving.ravel() >> low}, waiting_segments=len(leaving),
        ),
        "accumulate": Peripheral(
            "accumulate", accumulator_verilog(sum_width, width), "accumulate", {"column_sum": now, "stored": stored},
            waiting={"column_sum": leaving.ravel(), "stored": np.repeat(leaving[:, 0], leaving.shape[1])},
            waiting_segments=len(leaving),
        ),
        "control": Peripheral(
            "control", control_verilog(_CONTROL_WIDTH), "control", {"rows": np.full_like(cycles, length - 1)},
            {"row": cycles % length, "tile": cycles // length},
        ),
    }  # fmt: skip
    return Surroundings(**{name: measure(part, liberty, clock_ps, delays) for name, part in parts.items()})


def _bits(words: np.ndarray, bits: Sequence[int]) -> np.ndarray:
    """Some bits of words, side by side."""
    return sum(((words >> bit & 1) << place for place, bit in enumerate(bits)), np.zeros_like(words))


def _between_tiles(streams: Sequence[TileStream], cell: Cell, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """What enters the rows and leaves the columns between two tiles, int64 [sequences, cycles] each."""
    line = boundary_timeline(streams, rows)
    times = line.waiting_starts[:, None] + np.arange(-1, line.waiting + 1)  # [boundaries, cycles]
    lane = np.arange(rows)[:, None]
    sums = line.sums([cell] * rows)[:, rows]
    beats = [line.beats[one, lane] for one in times]
    leaving = [sums[one + rows + lane, lane] for one in times]
    return np.concatenate(beats), np.concatenate(leaving)
