"""A table of products to gates: shared decision diagrams, every node a multiplexer.

Bryant, "Graph-Based Algorithms for Boolean Function Manipulation", IEEE ToC 1986, with complemented edges and one
diagram for all product bits. Diagrams are built from the leaves up, a level of all functions at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from slipstick.rtl.cells.bits import AnyBit
from slipstick.rtl.cells.netlist import Netlist

Variable = tuple[int, int]  # operand (0 is a, 1 is w) and bit


@dataclass(frozen=True)
class Diagram:
    """Nodes by level from the leaves: ``low`` and ``high`` edges, 2 x node + complement; node 0 is the constant 0."""

    order: tuple[Variable, ...]  # the variable of every level, from the leaves
    levels: tuple[np.ndarray, ...]  # int64 [nodes, 2] of a level: low and high edge
    outputs: tuple[int, ...]

    @property
    def size(self) -> int:
        """Nodes without the constant."""
        return sum(map(len, self.levels))


def synthesise(bits: np.ndarray, widths: tuple[int, int]) -> tuple[Netlist, Diagram]:
    """The netlist of product ``bits``, unsigned [2^wa, 2^ww], from the smallest diagram of several orders."""
    smallest = min((build(bits, widths, order) for order in _orders(widths)), key=lambda diagram: diagram.size)
    return to_netlist(smallest, widths), smallest


def _orders(widths: tuple[int, int]) -> list[tuple[Variable, ...]]:
    """Orders to try, the leaves' variable first: bits interleaved or operand after operand, either way round."""
    a, w = ([(operand, bit) for bit in range(width)] for operand, width in enumerate(widths))
    interleaved = [variable for pair in zip_longest(a, w) for variable in pair if variable]
    return [tuple(order) for one in (interleaved, a + w, a + w[::-1]) for order in (one, one[::-1])]


def build(bits: np.ndarray, widths: tuple[int, int], order: Sequence[Variable]) -> Diagram:
    """Diagrams of all product bits under one order of the variables."""
    total = sum(widths)
    axes = [(widths[0] - 1 - bit) if operand == 0 else (total - 1 - bit) for operand, bit in order]
    cube = bits.reshape((2,) * total).transpose(axes[::-1]).ravel()  # the leaves' variable varies fastest
    edges = ((cube[None] >> np.arange(total, dtype=bits.dtype)[:, None]) & 1).astype(np.int64)
    levels, nodes = [], 1
    for _ in order:
        low, high = edges[:, 0::2], edges[:, 1::2]
        flip = low & 1  # canonical: the low edge carries no complement
        code = (low ^ flip) * (2 * nodes) + (high ^ flip)
        needed = low != high
        found, index = np.unique(code[needed], return_inverse=True)
        edges = low.copy()
        edges[needed] = 2 * (nodes + index) + flip[needed]
        levels.append(np.stack([found // (2 * nodes), found % (2 * nodes)], axis=1))
        nodes += len(found)
    return Diagram(tuple(order), tuple(levels), tuple(int(edge) for edge in edges[:, 0]))


def to_netlist(diagram: Diagram, widths: tuple[int, int]) -> Netlist:
    """Every node as a multiplexer; the tracer folds those with constant or complementary edges."""

    def product(a: list[AnyBit], w: list[AnyBit]) -> list[AnyBit]:
        nodes: list[AnyBit] = [0]

        def edge(number: int) -> AnyBit:
            return nodes[number >> 1] ^ (number & 1)

        for (operand, bit), level in zip(diagram.order, diagram.levels, strict=True):
            select = (a, w)[operand][bit]
            for low, high in level.tolist():
                if high == low ^ 1:
                    nodes.append(edge(low) ^ select)
                elif low <= 1:
                    nodes.append(select & edge(high) if low == 0 else edge(high) | (select ^ 1))
                elif high <= 1:
                    nodes.append(edge(low) | select if high else edge(low) & (select ^ 1))
                else:
                    nodes.append((select & edge(high)) | ((select ^ 1) & edge(low)))
        return [edge(number) for number in diagram.outputs]

    return Netlist.trace(product, widths)
