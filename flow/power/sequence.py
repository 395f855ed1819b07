"""Registers cycle by cycle: state that feeds back, enables, clears, presets, both clock edges, latches, clock gates.

A cycle has two phases: the clocks rise, the inputs change, all settles; the clocks fall, all settles. A flip-flop takes
what its data input was before the edge of its own clock net, a latch passes its data while it is open, a clear or
preset acts at once. All clocks tick together, no gate takes time; all state is 0 at first. Where clocks drive
flip-flops directly, and all with one edge, the second phase changes nothing and is left out.

All sequences run at once, a bit of Python's whole numbers each.
"""

from collections.abc import Mapping
from operator import and_, or_, xor

import numpy as np

from slipstick.errors import UserError
from slipstick.flow.library.boolean import AND, CONSTANT, NOT, OR, PIN, Expression, parse

from .clocks import clocks_of
from .gates import Instance, MappedNetlist

_OPERATIONS = {AND: and_, OR: or_}


class _Code:
    """Straight-line steps over rows: the nets, then what is made on the way."""

    def __init__(self, netlist: MappedNetlist) -> None:
        self.rows = netlist.net_count
        self.steps: list[tuple] = []

    def row(self) -> int:
        """A new row."""
        self.rows += 1
        return self.rows - 1

    def value(self, expression: Expression, pins: Mapping[str, int]) -> int:
        """The row that holds an expression's value."""
        if expression.kind == PIN:
            return pins[expression.name]
        if expression.kind == CONSTANT:
            return expression.value
        left = self.value(expression.operands[0], pins)
        right = 1 if expression.kind == NOT else self.value(expression.operands[1], pins)
        target = self.row()
        self.steps.append((_OPERATIONS.get(expression.kind, xor), left, right, target))
        return target

    def outputs(self, instance: Instance, pins: Mapping[str, int]) -> None:
        """Steps that drive the outputs of an instance."""
        for pin in instance.cell.outputs:
            if pin.name in instance.nets:
                value = self.value(parse(pin.function or "0"), pins)
                self.steps.append((or_, value, value, instance.nets[pin.name]))


class _Element:
    """A flip-flop or latch: rows of its state, of its clock or enable, data, clear and preset."""

    def __init__(self, instance: Instance, code: _Code) -> None:
        flop, latch = instance.cell.flop, instance.cell.latch
        element = flop or latch
        assert element
        self.is_latch = flop is None
        self.both = element.both
        self.state = code.row()
        self.pins = {**instance.nets, element.state: self.state}
        if element.inverse:
            self.pins[element.inverse] = code.row()
            code.steps.append((xor, self.state, 1, self.pins[element.inverse]))
        self.instance, self.before, self.data = instance, 0, 0

    def finish(self, code: _Code) -> None:
        """Steps for what decides the next state, after those of all outputs and gates."""
        flop, latch = self.instance.cell.flop, self.instance.cell.latch
        texts = (flop.clocked_on, flop.next_state) if flop else (latch.enable, latch.data_in) if latch else ("0", "0")
        element = flop or latch
        assert element
        controls = (element.clear or "0", element.preset or "0")
        self.clock, self.next, self.clear, self.preset = (
            code.value(parse(text or "0"), self.pins) for text in (*texts, *controls)
        )

    def step(self, rows: list[int], ones: int) -> int:
        """The state after the last evaluation of ``rows``."""
        state, clock = rows[self.state], rows[self.clock]
        if self.is_latch:
            state = (state & ~clock) | (rows[self.next] & clock)
        else:
            risen = clock & ~self.before
            state = (state & ~risen) | (self.data & risen)
            self.before, self.data = clock, rows[self.next]
        clear, preset = rows[self.clear], rows[self.preset]
        if clear or preset:
            state = (state | preset) & ~(clear & ~preset)
            both = clear & preset
            kept = {"H": ones, "N": rows[self.state], "T": ~rows[self.state]}.get(self.both, 0)
            state = (state & ~both) | (kept & both)
        return state & ones


def run_sequence(netlist: MappedNetlist, inputs: Mapping[int, np.ndarray], segments: int, length: int) -> np.ndarray:
    """Bits of ``sources`` after every phase, uint8 [segments * length * phases, sources].

    ``inputs`` uint8 [segments * length] by input net; those that are not named are 0, clocks tick whatever is given.
    UserError for state that does not settle.
    """
    clocks = clocks_of(netlist)
    code = _Code(netlist)
    elements = [_Element(one, code) for one in (*netlist.flops, *netlist.latches)]
    for one in elements:
        code.outputs(one.instance, one.pins)
    for gate in netlist.gates:
        code.outputs(gate, gate.nets)
    for one in elements:
        one.finish(code)
    ones = (1 << segments) - 1
    rows = [0, ones] + [0] * (code.rows - 2)
    words = {net: _lanes(bits, segments, length) for net, bits in inputs.items() if net not in clocks.roots}
    watched = sources(netlist)
    size = -(-segments // 8)
    found = bytearray()

    def run() -> bool:
        for operation, left, right, target in code.steps:
            rows[target] = operation(rows[left], rows[right])
        after = [one.step(rows, ones) for one in elements]
        changed = False
        for one, state in zip(elements, after, strict=True):
            changed |= rows[one.state] != state
            rows[one.state] = state
        return changed

    def settle() -> None:
        for _ in range(2 * len(elements) + 8):
            if not run():
                return
        raise UserError(
            f"{netlist.top!r} has registers that do not settle within a cycle (latches or clears that feed back): "
            "simulate its gates (--netlist) elsewhere and give --activity"
        )

    for net, lanes in words.items():
        rows[net] = lanes[0]
    run()
    for one in elements:
        one.before = rows[one.clock]
    settle()
    levels = [0 if clocks.falls else ones] if clocks.is_simple else [ones, 0]
    for time in range(length):
        for phase, level in enumerate(levels):
            for net in clocks.roots:
                rows[net] = level
            if clocks.is_simple:
                for one in elements:
                    one.before = 0
            run()
            if phase == 0:
                for net, lanes in words.items():
                    rows[net] = lanes[time]
            settle()
            for net in watched:
                found += rows[net].to_bytes(size, "little")
    bits = np.unpackbits(np.frombuffer(found, np.uint8).reshape(-1, len(watched), size), axis=2, bitorder="little")
    return np.ascontiguousarray(bits[:, :, :segments].transpose(2, 0, 1)).reshape(-1, len(watched))


def sources(netlist: MappedNetlist) -> list[int]:
    """Nets that gates start from: inputs and what holds state."""
    nets = [net for direction, bits in netlist.ports.values() if direction == "input" for net in bits]
    for one in (*netlist.flops, *netlist.latches):
        nets += [one.nets[pin.name] for pin in one.cell.outputs if pin.name in one.nets]
    return [net for net in dict.fromkeys(nets) if net > 1]


def _lanes(bits: np.ndarray, segments: int, length: int) -> list[int]:
    """Bits uint8 [segments * length] as a whole number a time, a bit a segment."""
    packed = np.packbits(bits.reshape(segments, length).T.astype(np.uint8), axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in packed]
