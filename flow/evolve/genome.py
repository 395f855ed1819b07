"""Genomes: netlists as fixed-length arrays of genes, and back."""

from dataclasses import dataclass

import numpy as np

from slipstick.rtl.cells.netlist import AND, NOT, OR, XOR, Bit, Netlist

NAND, NOR, XNOR, ANDN = range(4, 8)
"""Further gates of a genome, beside those of a netlist; ANDN is x & ~y. Numbers as in evolve.cpp."""
KINDS = 8
SPARE_EVERY = 5
_INVERSE = {AND: NAND, OR: NOR, XOR: XNOR}


@dataclass(frozen=True)
class Genome:
    """``genes`` int32 [3 * gates + outputs]: (operation, node, node) a gate, then the nodes of the product.

    Node numbers are those of ``Netlist``. Gates that no output depends on are kept: they drift freely
    until a mutation connects them.
    """

    widths: tuple[int, int]
    gates: int
    genes: np.ndarray

    @classmethod
    def of(cls, netlist: Netlist) -> "Genome":
        """A netlist gate by gate, with a spare gate after every fifth.

        A NOT becomes the NAND, NOR or XNOR of a gate that only the NOT reads.
        """
        first = netlist.first_gate
        readers = [0] * (first + len(netlist.gates))
        for gate, x, y in netlist.gates:
            for node in {x} if gate == NOT else {x, y}:
                readers[node] += 1
        for node in netlist.outputs:
            readers[node] += 1
        number = list(range(first))
        gates: list[tuple[int, int, int]] = []
        for gate, x, y in netlist.gates:
            before = netlist.gates[x - first] if x >= first else None
            if gate == NOT and before and readers[x] == 1 and before[0] in _INVERSE:
                gate, x, y = _INVERSE[before[0]], before[1], before[2]
            number.append(first + len(gates))
            gates.append((gate, number[x], number[y]))
            if len(number) % SPARE_EVERY == 0:
                gates.append((AND, number[x], number[y]))
        outputs = [number[node] for node in netlist.outputs]
        return cls(netlist.widths, len(gates), np.array([*np.ravel(gates), *outputs], np.int32))

    def copy(self) -> "Genome":
        """A genome with genes of its own."""
        return Genome(self.widths, self.gates, self.genes.copy())

    def netlist(self) -> Netlist:
        """The gates that outputs depend on, constants folded and equal gates shared."""

        def product(a: list[Bit], w: list[Bit]) -> list[Bit | int]:
            nodes: list[Bit | int] = [0, 1, *a, *w]
            for kind, x, y in self.genes[: 3 * self.gates].reshape(-1, 3).tolist():
                nodes.append(_combine(kind, nodes[x], nodes[y] if kind != NOT else 0))
            return [nodes[node] for node in self.genes[3 * self.gates :].tolist()]

        return Netlist.trace(product, self.widths)


def _combine(kind: int, x: Bit | int, y: Bit | int) -> Bit | int:
    if kind == NOT:
        return x ^ 1
    if kind == ANDN:
        return x & (y ^ 1)
    result = x & y if kind in (AND, NAND) else x | y if kind in (OR, NOR) else x ^ y
    return result ^ 1 if kind in (NAND, NOR, XNOR) else result
