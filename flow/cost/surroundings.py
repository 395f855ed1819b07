"""What an array needs besides its processing elements: skew registers, accumulator adders, control.

Each is a small module, mapped and simulated on the same operand streams. The accumulators' memory is
not included.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from slipstick.flow.library.liberty import Liberty
from slipstick.flow.power.activity import simulate
from slipstick.flow.power.cell_power import Energy
from slipstick.flow.power.power import power_model
from slipstick.flow.power.synth import Synthesis, synthesise
from slipstick.rtl.cells.cell import Cell
from slipstick.rtl.spec.array import signed_width, sum_range
from slipstick.rtl.spec.streams import TileStream
from slipstick.store import Store, digest

from .modules import accumulator_verilog, control_verilog, delay_register_verilog, requantiser_verilog

ACCUMULATION_DEPTH = 64
"""Weight tiles whose sums one accumulator holds; it decides the adder's width."""
_CONTROL_WIDTH = 16
_RESULT_VERSION = 2


@dataclass(frozen=True)
class Peripheral:
    """A module beside the array, such as a requantiser, and the words that it sees when in use.

    ``inputs`` int [n] by input port, ``registers`` int [n] for registers that hold their value;
    ``booth`` maps its multiplications as Booth's.
    """

    name: str
    verilog: str = field(repr=False)
    top: str
    inputs: Mapping[str, np.ndarray] = field(repr=False)
    registers: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)
    booth: bool = False


@dataclass(frozen=True)
class PeripheralCost:
    """Area, delay, and energy of a cycle in use and of one in which nothing moves."""

    area_um2: float
    delay_ps: float
    active: Energy
    idle: Energy


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


def measure(peripheral: Peripheral, liberty: Liberty, clock_ps: float, store: Store | None = None) -> PeripheralCost:
    """Map a module and measure it on its words; kept by content."""
    mapped = synthesise(peripheral.verilog, peripheral.top, liberty, clock_ps=clock_ps, booth=peripheral.booth)
    words = {**peripheral.inputs, **peripheral.registers}
    key = digest(mapped.key, clock_ps, sorted(words), *(words[name] for name in sorted(words)), _RESULT_VERSION)
    found = (store or Store("energy")).json(key, lambda: _measure(peripheral, mapped, liberty, clock_ps))
    return PeripheralCost(mapped.area_um2, found["delay_ps"], Energy(*found["active"]), Energy(*found["idle"]))


def _measure(peripheral: Peripheral, mapped: Synthesis, liberty: Liberty, clock_ps: float) -> dict[str, object]:
    power = power_model(mapped, liberty, clock_ps)
    netlist = power.netlist
    active = simulate(netlist, peripheral.inputs, peripheral.registers, settle=2)
    given = (peripheral.inputs, peripheral.registers)
    still = [{name: np.repeat(words[:1], 8) for name, words in part.items()} for part in given]
    idle = simulate(netlist, *still, settle=2)
    return {
        "delay_ps": power.timing.delay_ps,
        "active": power.report(active).total,
        "idle": power.report(idle).total,
    }


@dataclass(frozen=True)
class Surroundings:
    """Costs of one array's surroundings on one layer: of one register, adder, and the control."""

    skew: PeripheralCost
    deskew: PeripheralCost
    accumulate: PeripheralCost
    control: PeripheralCost


def accumulator_width(cell: Cell, rows: int, depth: int = ACCUMULATION_DEPTH) -> int:
    """Bits of the accumulator of a column of equal cells over ``depth`` tiles and a bias of equal range."""
    low, high = sum_range([cell] * rows)
    return signed_width(2 * low * depth, 2 * high * depth)


def surroundings(
    streams: Sequence[TileStream], cell: Cell, sum_width: int, rows: int, liberty: Liberty, clock_ps: float
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
    width = accumulator_width(cell, rows)
    cycles = np.arange(4096)
    parts = {
        "skew": Peripheral("skew", delay_register_verilog(8), "delay_register", {"d": activations}),
        "deskew": Peripheral("deskew", delay_register_verilog(sum_width), "delay_register", {"d": now}),
        "accumulate": Peripheral(
            "accumulate", accumulator_verilog(sum_width, width), "accumulate", {"column_sum": now, "stored": stored}
        ),
        "control": Peripheral(
            "control", control_verilog(_CONTROL_WIDTH), "control",
            {"rows": np.full_like(cycles, len(streams[0].activations) - 1)},
            {
                "row": cycles % len(streams[0].activations),
                "tile": cycles // len(streams[0].activations),
            },
        ),
    }  # fmt: skip
    return Surroundings(**{name: measure(part, liberty, clock_ps) for name, part in parts.items()})
