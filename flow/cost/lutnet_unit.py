"""Area, delay and energy a token of a small weightless MLP unit, mapped whole with its ROM as gates, on real codes."""

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
from slipstick.rtl.lutnet.front import CODE_WIDTH
from slipstick.rtl.lutnet.unit import LutNetUnit
from slipstick.rtl.verilog.emit import to_verilog

from .cost import CLOCK_MHZ
from .unit import MappingError

TOP = "lutnet"
FILLING = 4  # rows until all parts of the unit are at work, where a row takes several cycles
REGISTERS = 6  # from codes to accumulators that leave, besides one a layer


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

    Raises UserError for too few tokens, MappingError when the mapped netlist computes anything but
    the unit's spec.
    """
    clock_ps, cycles = 1e6 / clock_mhz, max(unit.beats, unit.steps)
    filling = filling_rows(unit, codes)
    design = synthesise(to_verilog(unit, TOP), TOP, liberty, clock_ps=clock_ps)
    model = power_model(design, liberty, clock_ps)
    ports = waveforms(unit, codes, cycles) | {"o__ready": np.ones(1 + len(codes) * cycles, np.int64)}
    count = len(ports["rst"])
    # Registers that hold their value settle one after another: each round is right for one more cycle.
    activity = simulate(model.netlist, ports, settle=filling * cycles, depth=count + 8)
    _check(unit, codes, activity, filling)
    quiet, glitching = (
        model.report(one).total.total_fj * cycles
        for one in (activity, with_glitches(activity, Delays.NLDM, model.timing))
    )
    return LutNetCost(
        design.area_um2, design.sequential_area_um2, design.gate_count, model.timing.delay_ps, cycles, quiet, glitching
    )


def filling_rows(unit: LutNetUnit, codes: np.ndarray) -> int:
    """Rows until all parts of the unit are at work. Raises UserError for fewer than two tokens more than these."""
    cycles = max(unit.beats, unit.steps)
    rows = max(FILLING, -(-(REGISTERS + len(unit.spec.layers)) // cycles))
    if len(codes) < rows + 2:
        raise UserError(f"cost of a weightless MLP unit: {len(codes)} tokens of at least {rows + 2}")
    return rows


def waveforms(unit: LutNetUnit, codes: np.ndarray, cycles: int) -> dict[str, np.ndarray]:
    """What enters: a cycle of reset, then ``cycles`` for each token int [M, D], its beats first."""
    count, lanes = 1 + len(codes) * cycles, unit.lanes
    payload, valid = np.zeros((count, (CODE_WIDTH + 1) * lanes + 1), np.uint8), np.zeros(count, np.int64)
    starts = 1 + np.arange(len(codes)) * cycles
    bits = (codes[:, :, None] >> np.arange(CODE_WIDTH) & 1).reshape(len(codes), -1)
    for beat in range(unit.beats):
        own = bits[:, beat * lanes * CODE_WIDTH : (beat + 1) * lanes * CODE_WIDTH]
        payload[starts + beat, : own.shape[1]] = own
        payload[starts + beat, CODE_WIDTH * lanes : CODE_WIDTH * lanes + own.shape[1] // CODE_WIDTH] = 1
        payload[starts + beat, -1] = beat == unit.beats - 1
        valid[starts + beat] = 1
    reset = np.zeros(count, np.int64)
    reset[0] = 1
    return {"rst": reset, "i__payload": payload, "i__valid": valid}


def _check(unit: LutNetUnit, codes: np.ndarray, activity: Activity, filling: int) -> None:
    """MappingError unless every row that has left the netlist is what the spec says, and all but a few have."""
    nets, width = activity.netlist.ports["o__payload"][1], unit.sum_shape.width
    beats = np.flatnonzero(activity.values("o__valid"))
    rows = len(beats) // unit.beats
    lanes = [
        unpack(activity.planes[list(nets[lane * width : (lane + 1) * width])], activity.count, signed=True)
        for lane in range(unit.lanes)
    ]
    got = np.stack(lanes, -1)[beats[: rows * unit.beats]].reshape(rows, -1)[:, : unit.features]
    if rows < len(codes) - filling or (got != unit.spec(codes[:rows].astype(np.int64))).any():
        raise MappingError(f"{unit.module_name}: the mapped netlist does not compute its spec")
