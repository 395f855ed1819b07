"""Area, delay and energy a token of a weightless MLP unit, mapped with its ROM as gates, on real codes."""

from dataclasses import dataclass

import numpy as np

from slipstick.errors import UserError
from slipstick.flow.library.liberty import Liberty
from slipstick.flow.power.activity import Activity, simulate
from slipstick.flow.power.delays import Delays
from slipstick.flow.power.gates import unpack
from slipstick.flow.power.glitches import with_glitches
from slipstick.flow.power.power import power_model
from slipstick.flow.power.synth import synthesise
from slipstick.rtl.emit import to_verilog
from slipstick.rtl.lutnet_front import CODE_WIDTH
from slipstick.rtl.lutnet_unit import LutNetUnit

from .cost import CLOCK_MHZ
from .element import MappingError

TOP = "lutnet"
FILLING = 4  # rows until all parts of the unit are at work
MAX_LANES = 6  # of words of 63 bits


@dataclass(frozen=True)
class LutNetCost:
    """A unit that takes a token every ``cycles`` cycles; energies in fJ a token, zero-delay and NLDM.

    ``delay_ps`` is the longest path with clock-to-output and setup time. Clock tree and wires are not included.
    """

    area_um2: float
    sequential_area_um2: float
    gate_count: int
    delay_ps: float
    cycles: int
    energy_fj: float
    glitch_energy_fj: float


def lutnet_cost(unit: LutNetUnit, codes: np.ndarray, liberty: Liberty, clock_mhz: float = CLOCK_MHZ) -> LutNetCost:
    """Cost of a unit that sees tokens ``codes`` int8 [M, D], one after another, and is never kept waiting.

    Raises UserError for fewer than FILLING + 2 tokens or more than MAX_LANES lanes, MappingError when the mapped
    netlist computes anything but the unit's spec.
    """
    if len(codes) < FILLING + 2 or unit.lanes > MAX_LANES:
        raise UserError(f"cost of a weightless MLP unit: {len(codes)} tokens of at least {FILLING + 2}, "
                        f"{unit.lanes} lanes of at most {MAX_LANES}")  # fmt: skip
    clock_ps = 1e6 / clock_mhz
    design = synthesise(to_verilog(unit, TOP), TOP, liberty, clock_ps=clock_ps)
    model = power_model(design, liberty, clock_ps)
    cycles = max(unit.beats, unit.steps)
    ports = _waveforms(unit, codes.astype(np.int64), cycles)
    count = len(ports["rst"])
    # Registers that hold their value settle one after another: each round is right for one more cycle.
    activity = simulate(model.netlist, ports, settle=FILLING * cycles, depth=count + 8)
    _check(unit, codes, activity)
    quiet, glitching = (
        model.report(one).total.total_fj * cycles
        for one in (activity, with_glitches(activity, Delays.NLDM, model.timing))
    )
    return LutNetCost(
        design.area_um2, design.sequential_area_um2, design.gate_count, model.timing.delay_ps, cycles, quiet, glitching
    )


def _waveforms(unit: LutNetUnit, codes: np.ndarray, cycles: int) -> dict[str, np.ndarray]:
    """Words of the ports: a cycle of reset, then ``cycles`` a token, its beats first."""
    count = 1 + len(codes) * cycles
    payload, valid = np.zeros(count, np.int64), np.zeros(count, np.int64)
    starts = 1 + np.arange(len(codes)) * cycles
    for beat in range(unit.beats):
        own = codes[:, beat * unit.lanes : (beat + 1) * unit.lanes] & ((1 << CODE_WIDTH) - 1)
        lanes = np.arange(own.shape[1])
        keep, last = (1 << len(lanes)) - 1, int(beat == unit.beats - 1)
        marks = (keep | last << unit.lanes) << (CODE_WIDTH * unit.lanes)
        payload[starts + beat] = (own << CODE_WIDTH * lanes).sum(1) | marks
        valid[starts + beat] = 1
    reset = np.zeros(count, np.int64)
    reset[0] = 1
    return {"rst": reset, "i__payload": payload, "i__valid": valid, "o__ready": np.ones(count, np.int64)}


def _check(unit: LutNetUnit, codes: np.ndarray, activity: Activity) -> None:
    """MappingError unless every row that has left the netlist is what the spec says, and all but a few have."""
    nets, width = activity.netlist.ports["o__payload"][1], unit.sum_shape.width
    beats = np.flatnonzero(activity.values("o__valid"))
    rows = len(beats) // unit.beats
    lanes = [
        unpack(activity.planes[list(nets[lane * width : (lane + 1) * width])], activity.count, signed=True)
        for lane in range(unit.lanes)
    ]
    got = np.stack(lanes, -1)[beats[: rows * unit.beats]].reshape(rows, -1)[:, : unit.features]
    if rows < len(codes) - FILLING or (got != unit.spec(codes[:rows].astype(np.int64))).any():
        raise MappingError(f"{unit.module_name}: the mapped netlist does not compute its spec")
