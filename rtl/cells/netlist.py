"""Gate netlists: the one description of a cell's behaviour, traced from a function over bits.

Node numbers: 0 and 1 are the constants, then the bits of operand a (LSB first), then those of w,
then one node a gate in topological order.
"""

import hashlib
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

AND, OR, XOR, NOT = range(4)


def gate_value(gate: int, x: Any, y: Any, invert: Callable[[Any], Any] = operator.invert) -> Any:
    """What a gate makes of its operands: bits of hardware or of packed planes, or with their ``invert`` any others."""
    if gate == NOT:
        return invert(x)
    return x & y if gate == AND else x | y if gate == OR else x ^ y


class Bit:
    """One bit of a function being traced; knows only ``& | ^ ~``."""

    __slots__ = ("node", "tracer")

    def __init__(self, tracer: "Tracer", node: int) -> None:
        self.tracer, self.node = tracer, node

    def _combine(self, gate: int, other: "Bit | int") -> "Bit":
        node = other.node if isinstance(other, Bit) else int(bool(other))
        return Bit(self.tracer, self.tracer.gate(gate, self.node, node))

    def __and__(self, other: "Bit | int") -> "Bit":
        return self._combine(AND, other)

    def __or__(self, other: "Bit | int") -> "Bit":
        return self._combine(OR, other)

    def __xor__(self, other: "Bit | int") -> "Bit":
        return self._combine(XOR, other)

    def __invert__(self) -> "Bit":
        return Bit(self.tracer, self.tracer.gate(NOT, self.node, 0))

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__


Word = Sequence[Bit]
BitFunction = Callable[[list[Any], list[Any]], Sequence["Bit | int"]]  # two words of bits -> product


class Tracer:
    """Collects gates; folds constants and shares equal gates, so a trace is canonical."""

    def __init__(self, inputs: int) -> None:
        self.first_gate = 2 + inputs
        self.gates: list[tuple[int, int, int]] = []
        self._shared: dict[tuple[int, int, int], int] = {}

    def gate(self, gate: int, x: int, y: int) -> int:
        """Return the node of a gate, a constant or an operand where the gate folds to one."""
        if gate == NOT:
            if x < 2:
                return 1 - x
            if x >= self.first_gate and self.gates[x - self.first_gate][0] == NOT:
                return self.gates[x - self.first_gate][1]
        else:
            x, y = min(x, y), max(x, y)
            if x == y:
                return 0 if gate == XOR else x
            if x == 0:
                return 0 if gate == AND else y
            if x == 1:
                return (y, 1, self.gate(NOT, y, 0))[gate]
        key = (gate, x, y)
        if key not in self._shared:
            self.gates.append(key)
            self._shared[key] = self.first_gate + len(self.gates) - 1
        return self._shared[key]


@dataclass(frozen=True)
class Netlist:
    """Gates in topological order between two operands and a product.

    ``widths`` are the bits of operands a and w; ``gates`` are (operator, node, node) triples;
    ``outputs`` are the nodes of the product, LSB first.
    """

    widths: tuple[int, int]
    gates: tuple[tuple[int, int, int], ...]
    outputs: tuple[int, ...]

    @classmethod
    def trace(cls, function: BitFunction, widths: tuple[int, int]) -> "Netlist":
        """Run ``function(a, w)`` once on symbolic bits and keep the gates that reach its result."""
        tracer = Tracer(sum(widths))
        a = [Bit(tracer, 2 + i) for i in range(widths[0])]
        w = [Bit(tracer, 2 + widths[0] + i) for i in range(widths[1])]
        outputs = [bit.node if isinstance(bit, Bit) else int(bool(bit)) for bit in function(a, w)]
        return cls(widths, tuple(tracer.gates), tuple(outputs)).without_dead_gates()

    def without_dead_gates(self) -> "Netlist":
        """The same function by the gates that reach an output."""
        first = self.first_gate
        live = set(self.outputs)
        for node in range(first + len(self.gates) - 1, first - 1, -1):
            if node in live:
                gate, x, y = self.gates[node - first]
                live |= {x} if gate == NOT else {x, y}
        number = {node: node for node in range(first)}
        gates: list[tuple[int, int, int]] = []
        for node, (gate, x, y) in enumerate(self.gates, first):
            if node in live:
                number[node] = first + len(gates)
                gates.append((gate, number[x], 0 if gate == NOT else number[y]))
        return Netlist(self.widths, tuple(gates), tuple(number[node] for node in self.outputs))

    def apply(self, a: Sequence[Any], w: Sequence[Any]) -> list[Any]:
        """The product of two words of bits, LSB first, as ``trace`` gives them: a netlist within another."""
        nodes: list[Any] = [0, 1, *a, *w]
        for gate, x, y in self.gates:
            nodes.append(gate_value(gate, nodes[x], nodes[y], lambda bit: 1 ^ bit))
        return [nodes[node] for node in self.outputs]

    @property
    def first_gate(self) -> int:
        """Node number of the first gate: what comes before are constants and operands."""
        return 2 + sum(self.widths)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over widths, gates and outputs, in hexadecimal."""
        return hashlib.sha256(repr((self.widths, self.gates, self.outputs)).encode()).hexdigest()

    def evaluate(self, a: np.ndarray, w: np.ndarray) -> np.ndarray:
        """Products of operand *bits*, unsigned [n] and [n] -> uint64 [n], 64 pairs a machine word."""
        count = len(a)
        zero = np.zeros(-(-count // 64), np.uint64)
        planes: list[np.ndarray] = [zero, ~zero, *pack_planes(a, self.widths[0]), *pack_planes(w, self.widths[1])]
        for index, (gate, x, y) in enumerate(self.gates):
            planes.append(gate_value(gate, planes[x], planes[y]))
            for node in self._last_reads[index]:
                planes[node] = zero  # frees what nobody reads again: the next gate finds it in the cache
        return unpack_planes([planes[node] for node in self.outputs], count)

    @cached_property
    def _last_reads(self) -> list[tuple[int, ...]]:
        """Nodes of gates that are read for the last time, for every gate."""
        seen = set(self.outputs)
        last: list[tuple[int, ...]] = []
        for gate, x, y in reversed(self.gates):
            nodes = {x} if gate == NOT else {x, y}
            last.append(tuple(node for node in nodes if node >= self.first_gate and node not in seen))
            seen |= nodes
        return last[::-1]


def pack_planes(values: np.ndarray, width: int) -> list[np.ndarray]:
    """Bits 0 to ``width`` - 1 of values [n] as packed words: ``width`` planes, uint64 [ceil(n / 64)] each."""
    values = np.pad(values.astype("<u8"), (0, -len(values) % 64))
    planes: list[np.ndarray] = []
    for byte in range(-(-width // 8)):
        groups = np.ascontiguousarray(values.view(np.uint8)[byte::8]).view("<u8")
        planes += [np.ascontiguousarray(_transpose(groups).view(np.uint8)[bit::8]).view("<u8") for bit in range(8)]
    return planes[:width]


def unpack_planes(planes: Sequence[np.ndarray], count: int) -> np.ndarray:
    """Inverse of ``pack_planes``: at most 64 planes to uint64 [count]."""
    words = max((len(plane) for plane in planes), default=0)
    values = np.zeros(words * 64, "<u8")
    for byte in range(-(-len(planes) // 8)):
        groups = np.zeros(words * 8, "<u8")
        for bit, plane in enumerate(planes[8 * byte : 8 * byte + 8]):
            groups.view(np.uint8)[bit::8] = plane.view(np.uint8)
        values.view(np.uint8)[byte::8] = _transpose(groups).view(np.uint8)
    return values[:count]


def _transpose(groups: np.ndarray) -> np.ndarray:
    """Transpose the 8 x 8 bits of every word: bit j of byte i becomes bit i of byte j.

    Three rounds swap ever larger blocks (Warren, "Hacker's Delight", section 7-3).
    """
    for shift, mask in ((7, 0x00AA00AA00AA00AA), (14, 0x0000CCCC0000CCCC), (28, 0x00000000F0F0F0F0)):
        swapped = (groups ^ (groups >> np.uint64(shift))) & np.uint64(mask)
        groups = groups ^ swapped ^ (swapped << np.uint64(shift))
    return groups
