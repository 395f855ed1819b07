"""A cell split for a dot product: encoders of single operands, the core of a product, and its carry.

An array computes many products of one activation and of one weight, so gates that read one operand only
are built once for all of them, and a final ``+ carry`` joins the adder tree. Nothing of this is written
down a second time: the split is found in the cell's netlist, and proved on all operand pairs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from slipstick.errors import UserError

from .cell import Cell
from .netlist import NOT, Netlist, Tracer, gate_value, pack_planes, unpack_planes

Planes = list[np.ndarray]
FULL_ADDER = 5  # gates that a bit of the word costs in the adder tree


@dataclass(frozen=True)
class DotForm:
    """``cell.table[a, w]`` as ``signed(core word) + carry * 2^place`` of encoded operands.

    ``activation`` and ``weight`` are netlists of one operand (widths (8, 0) and (0, 8)), whose outputs are the
    encoded bits; ``core`` takes these two words and gives the product's bits, LSB first, and, where
    ``has_carry``, one bit more that counts ``2^carry_place``.
    """

    cell: Cell
    activation: Netlist
    weight: Netlist
    core: Netlist
    has_carry: bool
    carry_place: int

    @property
    def low(self) -> int:
        """Low bits of the word that are 0 for all operands."""
        return next((index for index, node in enumerate(self.core.outputs) if node), self.product_width)

    @property
    def product_width(self) -> int:
        """Bits of the core's word, without the carry."""
        return len(self.core.outputs) - self.has_carry

    def table(self) -> np.ndarray:
        """All products by the three netlists, int64 [2^wa, 2^ww]."""
        widths = self.cell.widths
        a, w = (np.arange(1 << width) for width in widths)
        left = self.activation.evaluate(a, np.zeros_like(a))
        right = self.weight.evaluate(np.zeros_like(w), w)
        left, right = (part.ravel() for part in np.broadcast_arrays(left[:, None], right[None]))
        word = self.core.evaluate(left, right).astype(np.int64)
        carry = (word >> self.product_width) << self.carry_place if self.has_carry else 0
        word &= (1 << self.product_width) - 1
        word -= (word >> (self.product_width - 1)) << self.product_width
        return (word + carry).reshape(1 << widths[0], 1 << widths[1])


@cache
def dot_form(cell: Cell) -> DotForm:
    """The split of a signed cell's netlist.

    Raises UserError for an unsigned cell, or one of more than 16 operand bits.
    """
    if not cell.signed or sum(cell.widths) > 16:
        raise UserError(f"cell {cell.name!r} is not signed with at most 16 operand bits")
    netlist = cell.netlist
    planes = _planes(netlist)
    word, carry, place = _with_carry(cell, planes)
    outputs = [*word, *([] if carry is None else [carry])]
    sides = _sides(netlist)
    cut = _cut(netlist, outputs, sides)
    activation, weight = (_distinct([node for node in cut if sides[node] == side], planes) for side in (1, 2))
    form = DotForm(
        cell,
        _cone(netlist, {2 + i: 2 + i for i in range(cell.widths[0])}, (cell.widths[0], 0), activation.values()),
        _cone(
            netlist,
            {2 + cell.widths[0] + i: 2 + i for i in range(cell.widths[1])},
            (0, cell.widths[1]),
            weight.values(),
        ),
        _core(netlist, outputs, activation, weight, planes),
        carry is not None,
        place,
    )
    if not np.array_equal(form.table(), cell.table):
        raise AssertionError(f"the dot form of {cell.name!r} differs from its table")
    return form


def _planes(netlist: Netlist) -> Planes:
    """Every node on all operand pairs, packed: uint64 [2^(wa + ww) / 64] each."""
    a, w = (part.ravel() for part in np.indices([1 << width for width in netlist.widths]))
    zero = np.zeros(-(-len(a) // 64), np.uint64)
    planes: Planes = [zero, ~zero, *pack_planes(a, netlist.widths[0]), *pack_planes(w, netlist.widths[1])]
    for gate, x, y in netlist.gates:
        planes.append(gate_value(gate, planes[x], planes[y]))
    return planes


def _with_carry(cell: Cell, planes: Planes) -> tuple[list[int], int | None, int]:
    """Nodes of a word, a carry, and the carry's place: they add up to the product, at the least cost.

    A place above 0 leaves the bits below it constant: cells that truncate magnitudes.
    """
    netlist = cell.netlist
    by_function = {plane.tobytes(): node for node, plane in reversed(list(enumerate(planes)))}
    product = cell.table.ravel().astype(np.int64)
    width = cell.product_width
    low, high = -(1 << (width - 1)), (1 << (width - 1)) - 1

    def cost(word: list[int], carry: int | None) -> int:
        free = sum(node > 1 for node in word) + (carry is not None)
        return _size(netlist, [*word, *([] if carry is None else [carry])]) + FULL_ADDER * free

    best: tuple[list[int], int | None, int] = (list(netlist.outputs), None, 0)
    least = cost(*best[:2])
    constant = 0
    while constant < width - 1 and netlist.outputs[constant] == 0:
        constant += 1
    for carry in range(2, len(planes)):
        places = [p for p in {0, constant} if (planes[netlist.outputs[p]] ^ planes[carry]).tobytes() in by_function]
        if not places:  # the word's first bit that a carry changes is none of the netlist's
            continue
        bit = unpack_planes([planes[carry]], len(product)).astype(np.int64)
        for place in places:
            word = product - (bit << place)
            if word.min() < low or word.max() > high:
                continue
            nodes = [by_function.get(plane.tobytes()) for plane in pack_planes(word & ((1 << width) - 1), width)]
            found = [node for node in nodes if node is not None]
            if len(found) == width and (spent := cost(found, carry)) < least:
                best, least = (found, carry, place), spent
    return best


def _size(netlist: Netlist, outputs: Sequence[int]) -> int:
    """Gates that reach these nodes."""
    return len(_reached(netlist, outputs))


def _reached(netlist: Netlist, outputs: Iterable[int]) -> list[int]:
    """Gates in topological order that reach these nodes."""
    live = set(outputs)
    for node in range(netlist.first_gate + len(netlist.gates) - 1, netlist.first_gate - 1, -1):
        if node in live:
            gate, x, y = netlist.gates[node - netlist.first_gate]
            live |= {x} if gate == NOT else {x, y}
    return sorted(node for node in live if node >= netlist.first_gate)


def _sides(netlist: Netlist) -> list[int]:
    """Which operands a node reads: 0 none, 1 the activation, 2 the weight, 3 both."""
    sides = [0, 0, *[1] * netlist.widths[0], *[2] * netlist.widths[1]]
    for gate, x, y in netlist.gates:
        sides.append(sides[x] if gate == NOT else sides[x] | sides[y])
    return sides


def _cut(netlist: Netlist, outputs: Sequence[int], sides: list[int]) -> list[int]:
    """Nodes of one operand that gates of both, or the results, read."""
    read = set(outputs)
    for node in _reached(netlist, outputs):
        if sides[node] == 3:
            gate, x, y = netlist.gates[node - netlist.first_gate]
            read |= {x} if gate == NOT else {x, y}
    cut = {node for node in read if sides[node] in (1, 2)}
    first = {1: 2, 2: 2 + netlist.widths[0]}  # a cell that reads nothing of an operand still gets one bit of it
    return sorted(cut | {first[side] for side in first if side not in {sides[node] for node in cut}})


def _distinct(nodes: list[int], planes: Planes) -> dict[bytes, int]:
    """One node for every function among them."""
    return {planes[node].tobytes(): node for node in reversed(nodes)}


def _cone(netlist: Netlist, number: dict[int, int], widths: tuple[int, int], outputs: Iterable[int]) -> Netlist:
    """The gates between one operand and these nodes; ``number`` maps the operand's bits."""
    outputs = sorted(outputs)
    tracer, number = Tracer(sum(widths)), {0: 0, 1: 1} | number
    for node in _reached(netlist, outputs):
        gate, x, y = netlist.gates[node - netlist.first_gate]
        number[node] = tracer.gate(gate, number[x], 0 if gate == NOT else number[y])
    return Netlist(widths, tuple(tracer.gates), tuple(number[node] for node in outputs))


def _core(
    netlist: Netlist, outputs: Sequence[int], activation: dict[bytes, int], weight: dict[bytes, int], planes: Planes
) -> Netlist:
    """The gates between the encoded operands and the results."""
    widths = len(activation), len(weight)
    place = {node: 2 + i for i, node in enumerate([*sorted(activation.values()), *sorted(weight.values())])}
    encoded = {function: place[node] for function, node in (activation | weight).items()}
    tracer, number = Tracer(sum(widths)), {0: 0, 1: 1}

    def reach(node: int) -> int:
        if node not in number:
            known = encoded.get(planes[node].tobytes())
            if known is None:
                gate, x, y = netlist.gates[node - netlist.first_gate]
                known = tracer.gate(gate, reach(x), 0 if gate == NOT else reach(y))
            number[node] = known
        return number[node]

    results = tuple(reach(node) for node in outputs)
    return Netlist(widths, tuple(tracer.gates), results)


@dataclass(frozen=True)
class Encoding:
    """The encoded bits of one operand that several cells read: ``netlist`` makes each of them once.

    ``places[i]`` are the outputs of ``netlist`` that the i-th cell reads, in its core's order.
    """

    netlist: Netlist
    places: tuple[tuple[int, ...], ...]


def shared_encoding(encoders: Sequence[Netlist]) -> Encoding:
    """One encoder in the place of several of the same operand; equal functions are made once."""
    widths = encoders[0].widths
    count = 1 << sum(widths)
    operands = [np.arange(count if width else 1).repeat(1 if width else count) for width in widths]
    tracer, outputs, places = Tracer(sum(widths)), list[int](), []
    known: dict[bytes, int] = {}
    for encoder in encoders:
        planes = pack_planes(encoder.evaluate(*operands), len(encoder.outputs))
        number = list(range(encoder.first_gate))
        for gate, x, y in encoder.gates:
            number.append(tracer.gate(gate, number[x], 0 if gate == NOT else number[y]))
        for node, plane in zip(encoder.outputs, planes, strict=True):
            if plane.tobytes() not in known:
                known[plane.tobytes()] = len(outputs)
                outputs.append(number[node])
        places.append(tuple(known[plane.tobytes()] for plane in planes))
    return Encoding(Netlist(widths, tuple(tracer.gates), tuple(outputs)).without_dead_gates(), tuple(places))
