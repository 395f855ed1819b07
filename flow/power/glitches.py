"""Transitions within the clock cycle: glitches, under unit or NLDM delays.

Every counted step of an activity is a cycle of its own: at step 0 the input ports (and, their delay
later, the flip-flops) change from the settled state of the vector before to that of this vector, and
the change ripples. All cycles run at once, 64 a machine word. A net's waveform is a row of words for
each time step in which it may change; gates are evaluated in topological order, each over all its steps.

Delays are inertial as Verilog's ``assign #(rise, fall)``: an output changes to v when its function has
been v throughout the last delay(v), so shorter pulses vanish and a pulse of just the delay passes. Inputs
that change in the same step change together. Cycles are as long as it takes: a clock above f_max is the
timing analysis' business.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from slipstick.flow.library.boolean import Expression, parse

from .activity import Activity
from .delays import GRID_PS, Delays, Steps, nldm_steps, unit_steps
from .gates import Instance, MappedNetlist
from .timing import Timing, analyse

_WORDS = 128  # a machine's second-level cache holds a few waveforms of so many words
_BUDGET = 1 << 21  # words times nets


def with_glitches(
    activity: Activity, delays: Delays, timing: Timing | None = None, *, grid_ps: float = GRID_PS
) -> Activity:
    """The activity with its transitions counted under ``delays``; settled states stay as they are.

    NLDM delays are those of ``timing`` (``analyse`` with its defaults where None), rounded to ``grid_ps``.
    """
    return each_with_glitches([activity], delays, timing, grid_ps=grid_ps)[0]


def each_with_glitches(
    activities: Sequence[Activity], delays: Delays, timing: Timing | None = None, *, grid_ps: float = GRID_PS
) -> list[Activity]:
    """Several activities of one netlist, each as ``with_glitches`` gives it; faster than one by one."""
    if delays is Delays.ZERO or not activities:
        return [replace(one, delays=delays, transitions=None) for one in activities]
    netlist = activities[0].netlist
    steps = unit_steps(netlist) if delays is Delays.UNIT else nldm_steps(netlist, timing or analyse(netlist), grid_ps)
    gate_nets = [net for gate in netlist.gates for _, net in _functions(gate)]
    transitions = np.stack([replace(one, transitions=None).toggles for one in activities])
    transitions[:, gate_nets] = 0
    owner = np.repeat(np.arange(len(activities)), [one.planes.shape[1] for one in activities])
    new = np.concatenate([one.planes for one in activities], axis=1)
    counted = np.concatenate([one.counted for one in activities])
    old = np.concatenate([one.before for one in activities], axis=1)
    old = (old & counted) | (new & ~counted)  # nothing moves in a step that does not count
    words = max(1, min(_WORDS, _BUDGET // netlist.net_count))
    for start in range(0, new.shape[1], words):
        part = slice(start, start + words)
        owners, firsts = np.unique(owner[part], return_index=True)
        for net, counts in _transitions(netlist, steps, old[:, part], new[:, part]):
            transitions[owners, net] += np.add.reduceat(counts, firsts)
    return [replace(one, delays=delays, transitions=own) for one, own in zip(activities, transitions, strict=True)]


class _Wave(NamedTuple):
    """Values of a net: ``old`` until ``start``, then a row a step, then the last row for ever."""

    start: int
    rows: np.ndarray

    @property
    def end(self) -> int:
        return self.start + len(self.rows)


def _functions(gate: Instance) -> list[tuple[Expression, int]]:
    return [(parse(pin.function or "0"), gate.nets[pin.name]) for pin in gate.cell.outputs if pin.name in gate.nets]


def _transitions(
    netlist: MappedNetlist, steps: Steps, old: np.ndarray, new: np.ndarray
) -> Iterator[tuple[int, np.ndarray]]:
    """Transitions [words] of every gate's output, by net; ``old`` and ``new`` are settled states [nets, words]."""
    waves: dict[int, _Wave] = {}
    readers = Counter(net for gate in netlist.gates for net in gate.nets.values())
    driven = {net for gate in netlist.gates for _, net in _functions(gate)}
    for net in readers:
        if net not in driven and not np.array_equal(old[net], new[net]):
            waves[net] = _source(old[net], new[net], *steps.get(net, (0, 0)))
    for gate in netlist.gates:
        for function, net in _functions(gate):
            inputs = {pin: gate.nets[pin] for pin in function.pins()}
            moving = [waves[one] for one in inputs.values() if one in waves]
            if not moving:
                continue
            start, end = min(wave.start for wave in moving), max(wave.end for wave in moving)
            rise, fall = steps[net]
            margin = max(rise, fall)
            values = {
                pin: _window(waves.get(one), old[one], start - margin, end + margin - 1) for pin, one in inputs.items()
            }
            ideal = function.evaluate(values, old[1])
            rows = _inertial(ideal, old[net], rise, fall)
            wave = _Wave(start + min(rise, fall), rows)
            waves[net] = wave
            changes = np.bitwise_count(rows[1:] ^ rows[:-1]).sum(axis=0, dtype=np.int64)
            yield net, changes + np.bitwise_count(rows[0] ^ old[net])
        for net in gate.nets.values():
            readers[net] -= 1
            if not readers[net]:
                waves.pop(net, None)


def _source(old: np.ndarray, new: np.ndarray, rise: int, fall: int) -> _Wave:
    """One change from old to new, rises at step ``rise`` and falls at step ``fall``."""
    rows = np.empty((abs(rise - fall) + 1, len(old)), np.uint64)
    rows[:] = old | new if rise < fall else old & new
    rows[-1] = new
    return _Wave(min(rise, fall), rows)


def _window(wave: _Wave | None, old: np.ndarray, start: int, end: int) -> np.ndarray:
    """Values in the steps start to end - 1, [steps, words]."""
    if wave is None:
        return old[None]  # broadcast
    rows = np.empty((end - start, len(old)), np.uint64)
    first, last = wave.start - start, wave.end - start
    rows[:first] = old
    rows[first:last] = wave.rows
    rows[last:] = wave.rows[-1]
    return rows


def _inertial(ideal: np.ndarray, old: np.ndarray, rise: int, fall: int) -> np.ndarray:
    """Output of an inertial delay from step min(rise, fall) of the input's first change on.

    ``ideal`` [steps, words] begins max(rise, fall) steps before the input's first change.
    """
    if rise == fall == 1:
        return ideal[1:]
    margin, low = max(rise, fall), min(rise, fall)
    up = _windowed(np.bitwise_and, ideal, rise)  # up[t]: 1 in steps t to t + rise - 1
    keep = _windowed(np.bitwise_or, ideal, fall)
    steps = len(ideal) - margin - low + 1
    rows = up[margin - rise + low :][:steps]
    keep = keep[margin - fall + low :][:steps]
    state = old
    for row, kept in zip(rows, keep, strict=True):
        np.bitwise_and(state, kept, kept)
        np.bitwise_or(row, kept, row)
        state = row
    return rows


def _windowed(operation: np.ufunc, rows: np.ndarray, length: int) -> np.ndarray:
    """``operation`` over windows of ``length`` rows, [steps - length + 1, words], by doubling."""
    done, result = 1, rows
    while done < length:
        more = min(done, length - done)
        result = operation(result[: len(result) - more], result[more:])
        done += more
    return result if length > 1 else rows.copy()
