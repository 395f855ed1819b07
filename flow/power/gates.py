"""Mapped netlists: Yosys' cells with Liberty's functions, evaluated on 64 vectors a machine word.

Net numbers: 0 and 1 are the constants, then the nets of the netlist. ``planes`` are packed words
uint64 [nets, words]; bit i of word j is vector 64 j + i.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from slipstick.errors import UserError
from slipstick.flow.library.boolean import AND, CONSTANT, NOT, OR, PIN, Expression, parse
from slipstick.flow.library.cell import LibertyCell
from slipstick.flow.library.liberty import Liberty
from slipstick.rtl.cells.cell import Cell

from .synth import Synthesis

_OPERATIONS = {AND: np.bitwise_and, OR: np.bitwise_or}


@dataclass(frozen=True)
class Instance:
    """A placed cell; ``nets`` by pin, unconnected pins left out."""

    name: str
    cell: LibertyCell
    nets: dict[str, int]


@dataclass(frozen=True, eq=False)
class MappedNetlist:
    """A flat mapped module: ports and public nets as net lists (LSB first), gates in topological order.

    ``latches`` are clock gates too: what holds state and is no flip-flop.
    """

    top: str
    ports: dict[str, tuple[str, tuple[int, ...]]]
    names: dict[str, tuple[int, ...]]
    gates: tuple[Instance, ...]
    flops: tuple[Instance, ...]
    latches: tuple[Instance, ...]
    net_count: int
    area_um2: float
    liberty: Liberty = field(repr=False)

    @classmethod
    def build(cls, synthesis: Synthesis, liberty: Liberty) -> "MappedNetlist":
        """Read a mapped module; UserError for a cell that is no gate, flip-flop, latch or clock gate of the library."""
        number: dict[int | str, int] = {"0": 0, "1": 1, "x": 0, "z": 0}

        def net(bit: int | str) -> int:
            return number.setdefault(bit, len(number) - 2)

        gates: list[Instance] = []
        flops: list[Instance] = []
        latches: list[Instance] = []
        for name, (kind, connections) in synthesis.netlist["cells"].items():
            if kind.startswith("$"):
                raise UserError(f"{synthesis.top!r} needs {kind.strip('$_')}, for which {liberty.name} has no cell")
            cell = liberty.cell(kind)
            nets = {pin: net(connections[pin][0]) for pin in cell.pins if connections.get(pin)}
            if cell.is_opaque or not (cell.is_combinational or cell.element):
                raise UserError(f"cell {kind!r} in {synthesis.top!r} is no gate, flip-flop, latch or clock gate")
            (flops if cell.flop else latches if cell.latch else gates).append(Instance(name, cell, nets))
        ports = {
            name: (direction, tuple(map(net, bits))) for name, (direction, bits) in synthesis.netlist["ports"].items()
        }
        names = {name: tuple(map(net, bits)) for name, bits in synthesis.netlist["nets"].items()}
        sources = {bit for direction, bits in ports.values() if direction == "input" for bit in bits} | {0, 1}
        sources |= {
            one.nets[pin.name] for one in (*flops, *latches) for pin in one.cell.outputs if pin.name in one.nets
        }
        area = sum(one.cell.area_um2 for one in (*gates, *flops, *latches))
        ordered = _topological(gates, sources, synthesis.top)
        return cls(synthesis.top, ports, names, ordered, tuple(flops), tuple(latches), len(number) - 2, area, liberty)

    @property
    def instances(self) -> tuple[Instance, ...]:
        """All placed cells: gates, flip-flops, latches."""
        return (*self.gates, *self.flops, *self.latches)

    @cached_property
    def clock_nets(self) -> frozenset[int]:
        """Nets that clock a flip-flop."""
        return frozenset(
            flop.nets[pin]
            for flop in self.flops
            if flop.cell.flop
            for pin in parse(flop.cell.flop.clocked_on).pins()
            if pin in flop.nets
        )

    @cached_property
    def edge_load_ff(self) -> np.ndarray:
        """Capacitance of the pins on every net as a rising and as a falling edge sees it, float [nets, 2]."""
        sums = np.zeros((self.net_count, 2))
        for instance in self.instances:
            for pin in instance.cell.inputs:
                if pin.name in instance.nets:
                    sums[instance.nets[pin.name]] += (pin.capacitance_rise_ff, pin.capacitance_fall_ff)
        return sums

    @property
    def load_ff(self) -> np.ndarray:
        """Capacitance of the pins on every net, float [nets]: the larger of its rise and fall sums."""
        return self.edge_load_ff.max(axis=1)

    @cached_property
    def fanout(self) -> np.ndarray:
        """Input pins on every net, int [nets]."""
        counts = np.zeros(self.net_count, np.int64)
        for instance in self.instances:
            for pin in instance.cell.inputs:
                if pin.name in instance.nets:
                    counts[instance.nets[pin.name]] += 1
        return counts

    @cached_property
    def _program(self) -> "_Program":
        return _Program.compile(self)

    def evaluate(self, planes: np.ndarray) -> None:
        """Fill the gates' outputs in ``planes`` [nets, words] from its source nets, in place."""
        self._program.run(planes)

    def source_of(self, net: int) -> int:
        """The net before any chain of buffers that drives ``net``."""
        while net in self._buffers:
            net = self._buffers[net]
        return net

    @cached_property
    def _buffers(self) -> dict[int, int]:
        found = {}
        for gate in self.gates:
            for pin in gate.cell.outputs:
                expression = parse(pin.function or "0")
                if expression.kind == PIN and pin.name in gate.nets:
                    found[gate.nets[pin.name]] = gate.nets[expression.name]
        return found


def _topological(gates: Sequence[Instance], sources: set[int], top: str) -> tuple[Instance, ...]:
    driver = {gate.nets[pin.name]: gate for gate in gates for pin in gate.cell.outputs if pin.name in gate.nets}
    done, order, placed = set(sources), [], set()
    for root in driver:
        stack = [(root, False)]
        open_nets: set[int] = set()
        while stack:
            net, ready = stack.pop()
            if net in done:
                continue
            if net not in driver:
                raise UserError(f"a net of {top!r} that a gate reads has no driver")
            gate = driver[net]
            if ready:
                done |= {gate.nets[pin.name] for pin in gate.cell.outputs if pin.name in gate.nets}
                if gate.name not in placed:
                    placed.add(gate.name)
                    order.append(gate)
                continue
            if net in open_nets:
                raise UserError(f"{top!r} has a combinational loop through {gate.name!r}")
            open_nets.add(net)
            stack.append((net, True))
            stack += [(gate.nets[pin.name], False) for pin in gate.cell.inputs if gate.nets[pin.name] not in done]
    return tuple(order)


@dataclass(frozen=True)
class _Program:
    """Straight-line code over rows: (operation, left, right, target); rows past the nets are scratch."""

    steps: tuple[tuple[Any, int, int, int], ...]
    nets: int
    scratch: int

    @classmethod
    def compile(cls, netlist: MappedNetlist) -> "_Program":
        steps: list[tuple[Any, int, int, int]] = []
        scratch = 0

        def emit(expression: Expression, nets: Mapping[str, int], target: int, free: int) -> int:
            nonlocal scratch
            scratch = max(scratch, free - netlist.net_count)
            if expression.kind == PIN:
                return nets[expression.name]
            if expression.kind == CONSTANT:
                return expression.value
            left = emit(expression.operands[0], nets, free, free + 1)
            if expression.kind == NOT:
                steps.append((np.bitwise_xor, left, 1, target))
            else:
                right = emit(expression.operands[1], nets, free + 1, free + 2)
                steps.append((_OPERATIONS.get(expression.kind, np.bitwise_xor), left, right, target))
            return target

        for gate in netlist.gates:
            for pin in gate.cell.outputs:
                if pin.name in gate.nets:
                    target = gate.nets[pin.name]
                    row = emit(parse(pin.function or "0"), gate.nets, target, netlist.net_count)
                    if row != target:
                        steps.append((np.bitwise_or, row, row, target))
        return cls(tuple(steps), netlist.net_count, scratch + 2)

    def run(self, planes: np.ndarray) -> None:
        rows = list(planes)
        rows += list(np.empty((self.scratch, planes.shape[1]), np.uint64))
        for operation, left, right, target in self.steps:
            operation(rows[left], rows[right], rows[target])


def pack(values: np.ndarray, width: int) -> np.ndarray:
    """The low ``width`` bits of int values [n] as packed words uint64 [width, ceil(n / 64)]."""
    return pack_bits((values.astype(np.int64)[:, None] >> np.arange(width)) & 1)


def pack_bits(bits: np.ndarray) -> np.ndarray:
    """Words of any width, 0 and 1 [n, width], lowest bit first, packed as uint64 [width, ceil(n / 64)]."""
    padded = np.pad(bits.T.astype(np.uint8), ((0, 0), (0, -len(bits) % 64)))
    return np.packbits(np.ascontiguousarray(padded), axis=1, bitorder="little").view(np.uint64)


def unpack_bits(planes: np.ndarray, count: int) -> np.ndarray:
    """The inverse: uint8 [count, width]."""
    return np.unpackbits(np.ascontiguousarray(planes).view(np.uint8), axis=1, bitorder="little")[:, :count].T


def unpack(planes: np.ndarray, count: int, signed: bool = False) -> np.ndarray:
    """Packed words [width, words] back to ``count`` integers, int64 [count]."""
    weights = 1 << np.arange(len(planes), dtype=np.int64)
    if signed:
        weights[-1] = -weights[-1]
    return unpack_bits(planes, count).astype(np.int64) @ weights


def check_against_table(netlist: MappedNetlist, cell: Cell) -> int:
    """Number of operand pairs on which a mapped multiplier (ports a, w, product) differs from the table."""
    size_a, size_w = cell.table.shape
    a, w = (index.ravel() for index in np.indices((size_a, size_w)))
    planes = np.zeros((netlist.net_count, -(-a.size // 64)), np.uint64)
    planes[1] = ~planes[1]
    for name, values in (("a", a), ("w", w)):
        bits = netlist.ports[name][1]
        planes[list(bits)] = pack(values, len(bits))
    netlist.evaluate(planes)
    product = unpack(planes[list(netlist.ports["product"][1])], a.size, cell.signed)
    return int((product != cell.table.ravel()).sum())
