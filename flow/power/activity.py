"""What every net of a mapped netlist does over a sequence of vectors, one a clock cycle.

Zero delay: a net changes at most once a cycle. ``glitches`` adds the transitions within a cycle.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from slipstick.errors import UserError
from slipstick.flow.library.boolean import parse

from .clocks import clocks_of
from .delays import Delays
from .gates import Instance, MappedNetlist, pack, pack_bits, unpack, unpack_bits
from .sequence import run_sequence, sources

_SETTLE_ROUNDS = 8


@dataclass(frozen=True)
class Activity:
    """Waveforms of a netlist: ``planes`` uint64 [nets, words], ``counted`` uint64 [words].

    A set bit of ``counted`` marks a vector whose step from the one before is counted; ``cycles`` is
    their number. Clock nets are described by rule: two transitions a cycle, high half of the time; but where a cycle
    has two ``phases``, each a vector of its own, they are in ``planes`` as they are.
    ``transitions`` int64 [nets] counts those of the cycles under ``delays``, glitches included; None
    where they follow from the settled states in ``planes``.
    """

    netlist: MappedNetlist
    planes: np.ndarray
    counted: np.ndarray
    count: int
    delays: Delays = Delays.ZERO
    transitions: np.ndarray | None = None
    phases: int = 1

    @cached_property
    def steps(self) -> int:
        """Counted steps."""
        return int(np.bitwise_count(self.counted).sum())

    @property
    def cycles(self) -> int:
        """Counted clock cycles."""
        return self.steps // self.phases

    @property
    def ruled_nets(self) -> list[int]:
        """Clock nets that are described by rule."""
        return list(self.netlist.clock_nets) if self.phases == 1 else []

    @property
    def before(self) -> np.ndarray:
        """Settled states of the vector before each vector, uint64 [nets, words]."""
        before = self.planes << np.uint64(1)
        before[:, 1:] |= self.planes[:, :-1] >> np.uint64(63)
        return before

    @cached_property
    def toggles(self) -> np.ndarray:
        """Transitions of every net in the counted cycles, int64 [nets]."""
        if self.transitions is not None:
            return self.transitions
        changed = (self.planes ^ self.before) & self.counted
        return np.bitwise_count(changed).sum(axis=1, dtype=np.int64)

    @cached_property
    def density(self) -> np.ndarray:
        """Transitions a cycle of every net, float [nets]."""
        density = self.toggles / self.cycles
        density[self.ruled_nets] = 2.0
        return density

    @cached_property
    def probability(self) -> np.ndarray:
        """Share of the counted cycles in which every net is 1, float [nets]."""
        ones = np.bitwise_count(self.planes & self.counted).sum(axis=1, dtype=np.int64)
        probability = ones / self.steps
        probability[self.ruled_nets] = 0.5
        return probability

    def part(self, start: int, stop: int) -> "Activity":
        """The cycles start to stop - 1 by themselves, settled states only; no step into the first one counts."""
        first, last = start * self.phases, stop * self.phases
        words = slice(first // 64, -(-last // 64))
        low = np.uint64(first % 64)
        rows = np.concatenate([self.planes[:, words], self.counted[None, words]])
        if low:
            high = np.zeros_like(rows)
            high[:, :-1] = rows[:, 1:] << (np.uint64(64) - low)
            rows = (rows >> low) | high
        rows = rows[:, : -(-(last - first) // 64)]
        counted = rows[-1].copy()
        if (last - first) % 64:
            counted[-1] &= np.uint64((1 << (last - first) % 64) - 1)
        counted[0] &= ~np.uint64(1)
        return Activity(self.netlist, rows[:-1], counted, last - first, phases=self.phases)

    def values(self, name: str, signed: bool = False) -> np.ndarray:
        """Integers on a port or public net at the end of every cycle, int64 [cycles]."""
        return unpack(self.planes[list(self._nets(name))], self.count, signed)[self.phases - 1 :: self.phases]

    def bits(self, name: str) -> np.ndarray:
        """Bits of a port or public net of any width, at the end of every cycle, uint8 [cycles, width], lowest first."""
        return unpack_bits(self.planes[list(self._nets(name))], self.count)[self.phases - 1 :: self.phases]

    def _nets(self, name: str) -> tuple[int, ...]:
        return self.netlist.ports[name][1] if name in self.netlist.ports else self.netlist.names[name]


def simulate(
    netlist: MappedNetlist,
    inputs: Mapping[str, np.ndarray],
    registers: Mapping[str, np.ndarray] | None = None,
    *,
    segments: int = 1,
    settle: int = 0,
    depth: int = _SETTLE_ROUNDS,
) -> Activity:
    """Waveforms for input words int [n] by port, or their bits [n, width]; ports that are not named are 0.

    ``registers`` gives traces int [n] of registers by the public name of their outputs; every other flip-flop takes
    its data input of the vector before, which is found by simulating again until nothing changes (feed-forward
    designs). Without traces, what this does not find is simulated cycle by cycle (``sequence``): state that feeds
    back, clears and presets, both clock edges, gated clocks, latches; the waveforms then have two phases a cycle where
    one does not do. The n vectors are ``segments`` sequences of equal length in a row; the step between two
    sequences, and the first ``settle`` steps of each, are not counted. ``depth`` is more than the registers that any
    path passes. Raises UserError for unknown names, unequal lengths, and for state that feeds back beside given traces.
    """
    given = {**inputs, **(registers or {})}
    lengths = {np.shape(values)[:1] for values in given.values()}
    if len(lengths) != 1 or len(next(iter(lengths))) != 1:
        raise UserError(f"input words must be vectors of one length, not {sorted(lengths)}")
    count = next(iter(lengths))[0]
    length = count // segments
    if length * segments != count or length < settle + 2:
        raise UserError(f"{count} vectors do not divide into {segments} sequences of at least {settle + 2}")
    planes = np.zeros((netlist.net_count, -(-count // 64)), np.uint64)
    planes[1] = ~planes[1]
    for name, values in inputs.items():
        _set(planes, _input_nets(netlist, name), values)
    fixed = set()
    for name, values in (registers or {}).items():
        nets = _register_nets(netlist, name)
        _set(planes, nets, values)
        fixed |= set(nets)
    counted = np.arange(count) % length > settle
    first = np.zeros(count, np.int64)
    first[::length] = 1
    starts = pack(first, 1)[0]
    plain = registers or _is_plain(netlist)
    if plain and _settle(netlist, planes, starts, pack(np.ones(count, np.int64), 1)[0], fixed, depth):
        return Activity(netlist, planes, pack(counted.astype(np.int64), 1)[0], count)
    if registers:
        raise UserError(f"{netlist.top!r} holds state that feeds back: give traces of all its registers, or of none")
    bits = unpack_bits(planes, count)
    given_nets = {net: bits[:, net] for name in inputs for net in _input_nets(netlist, name) if net > 1}
    return _sequential(netlist, given_nets, segments, counted)


def _is_plain(netlist: MappedNetlist) -> bool:
    """Whether flip-flops take their data at one edge of the clock and are neither cleared nor preset."""
    for gate in netlist.flops:
        element = gate.cell.flop
        if element and any(_may_be_one(gate, text) for text in (element.clear, element.preset) if text):
            return False
    return not (netlist.flops or netlist.latches) or clocks_of(netlist).is_simple


def _may_be_one(gate: Instance, text: str) -> bool:
    """Whether an expression of a gate's pins is 1 for some inputs, as far as constants tell."""
    expression = parse(text)
    nets = {pin: gate.nets.get(pin, 0) for pin in expression.pins()}
    return any(net > 1 for net in nets.values()) or bool(expression.evaluate(nets, 1))


def _sequential(
    netlist: MappedNetlist, inputs: Mapping[int, np.ndarray], segments: int, counted: np.ndarray
) -> Activity:
    phases = 1 if clocks_of(netlist).is_simple else 2
    bits = run_sequence(netlist, inputs, segments, len(counted) // segments)
    planes = np.zeros((netlist.net_count, -(-len(bits) // 64)), np.uint64)
    planes[1] = ~planes[1]
    planes[sources(netlist)] = pack_bits(bits)
    netlist.evaluate(planes)
    steps = pack(np.repeat(counted, phases).astype(np.int64), 1)[0]
    return Activity(netlist, planes, steps, len(bits), phases=phases)


def _input_nets(netlist: MappedNetlist, name: str) -> tuple[int, ...]:
    if name not in netlist.ports or netlist.ports[name][0] != "input":
        known = ", ".join(port for port, (direction, _) in netlist.ports.items() if direction == "input")
        raise UserError(f"{netlist.top!r} has no input {name!r}; its inputs: {known}")
    return netlist.ports[name][1]


def _register_nets(netlist: MappedNetlist, name: str) -> tuple[int, ...]:
    nets = netlist.names.get(name)
    if nets is None:
        raise UserError(f"{netlist.top!r} has no public net {name!r}; it has: {', '.join(netlist.names)}")
    return tuple(map(netlist.source_of, nets))  # synthesis may buffer a register's output


def _set(planes: np.ndarray, nets: tuple[int, ...], values: np.ndarray) -> None:
    words = np.asarray(values)
    if words.ndim > 1 and words.shape[1:] != (len(nets),):
        width = " x ".join(map(str, words.shape[1:]))
        raise UserError(f"input words must be vectors of one length, not of {width} bits for a port of {len(nets)}")
    planes[list(nets)] = pack(words, len(nets)) if words.ndim == 1 else pack_bits(words)


def _settle(
    netlist: MappedNetlist, planes: np.ndarray, starts: np.ndarray, vectors: np.ndarray, fixed: set[int], depth: int
) -> bool:
    """Evaluate until every flip-flop holds its next state of the vector before; False where that does not come about.

    ``starts`` marks the first vector of each sequence, ``vectors`` those that are no padding.
    """
    states = [_State.of(flop, fixed) for flop in netlist.flops]
    for state in states:
        if state.given is not None:
            state.write(planes, planes[state.given] ^ planes[int(state.given_inverse)])
    free = [state for state in states if state.given is None]
    for _ in range(depth):
        netlist.evaluate(planes)
        changed = False
        for state in free:
            data = state.next_state(planes)
            held = data << np.uint64(1)
            held[1:] |= data[:-1] >> np.uint64(63)
            # Before a sequence starts, its first value counts as held.
            changed |= state.write(planes, ((held & ~starts) | (data & starts)) & vectors)
        if not changed:
            return True
    return False


@dataclass(frozen=True)
class _State:
    """A flip-flop: the nets that show its state, true or inverted, and one of them whose trace is given."""

    flop: Instance
    outputs: tuple[tuple[int, bool], ...]
    given: int | None
    given_inverse: bool

    @classmethod
    def of(cls, flop: Instance, fixed: set[int]) -> "_State":
        assert flop.cell.flop
        inverse = flop.cell.flop.inverse
        outputs = tuple(
            (flop.nets[pin.name], (pin.function or "").strip(" ()") == inverse)
            for pin in flop.cell.outputs
            if pin.name in flop.nets
        )
        given = next(((net, inverted) for net, inverted in outputs if net in fixed), (None, False))
        return cls(flop, outputs, *given)

    def write(self, planes: np.ndarray, state: np.ndarray) -> bool:
        """Show ``state`` on the outputs; True where that changes one."""
        changed = False
        for net, inverted in self.outputs:
            value = state ^ planes[int(inverted)]
            changed |= not np.array_equal(planes[net], value)
            planes[net] = value
        return changed

    def next_state(self, planes: np.ndarray) -> np.ndarray:
        group = self.flop.cell.flop
        assert group
        values = {pin: planes[net] for pin, net in self.flop.nets.items()}
        if self.outputs:
            net, inverted = self.outputs[0]
            state = planes[net] ^ planes[int(inverted)]
            values |= {group.state: state, group.inverse: ~state}
        return parse(group.next_state).evaluate(values, planes[1])
