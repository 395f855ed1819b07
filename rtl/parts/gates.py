"""Gates of a netlist as named signals, one a gate."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Signal, Value

from ..cells.netlist import Netlist, gate_value


def place_gates(m: Module, netlist: Netlist, left: Value, right: Value) -> list[Value]:
    """Outputs of ``netlist`` for operands of its widths, LSB first; gates are called ``n<node>``.

    A signal ``unused`` reads the operand bits that no gate does: lint asks who reads them.
    """
    nodes: list[Value] = [Const(0, 1), Const(1, 1), *left, *right]
    for gate, x, y in netlist.gates:
        signal = Signal(name=f"n{len(nodes)}")
        m.d.comb += signal.eq(gate_value(gate, nodes[x], nodes[y]))
        nodes.append(signal)
    read = {node for _, x, y in netlist.gates for node in (x, y)} | set(netlist.outputs)
    ignored = [nodes[node] for node in range(2, netlist.first_gate) if node not in read]
    if ignored:
        unused = Signal()
        m.d.comb += unused.eq(Cat(*ignored).all())
    return [nodes[node] for node in netlist.outputs]


def gathered(word: Value, places: Sequence[int]) -> Value:
    """The bits of ``word`` at these places."""
    return Cat(*(word[place] for place in places))
