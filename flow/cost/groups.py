"""Which part of a processing element each mapped gate belongs to.

Flattening and ABC leave no hierarchy, so the netlist itself decides. A gate that sees the partial sum
(``sum_in``) is the adder's; one that sees the weight on its way down or ``load`` is the weight
loading's; all others depend on the operands alone and are the multiplier's. Flip-flops are registers.

Bits of the sum above a product's are groups of their own, with the adder's gates that feed nothing
lower: near the top of a column, synthesis removes them. So are operand bits that a multiplier ignores.
"""

from collections.abc import Sequence

from slipstick.flow.power.gates import MappedNetlist

MULTIPLIER, ADDER, WEIGHT_LOADING = "multiplier", "adder", "weight loading"
ACTIVATION_REGISTER, WEIGHT_REGISTER, SUM_REGISTER = "activation register", "weight register", "sum register"
UNUSED = "unused"
REGISTERS = (ACTIVATION_REGISTER, WEIGHT_REGISTER, SUM_REGISTER)
_PORTS = {
    "activation_in": MULTIPLIER, "sum_in": ADDER, "weight_in": WEIGHT_LOADING, "load": WEIGHT_LOADING,
    "clk": SUM_REGISTER,
}  # fmt: skip
_OUTPUTS = {"activation_out": ACTIVATION_REGISTER, "weight_out": WEIGHT_REGISTER, "sum_out": SUM_REGISTER}


def bit_group(group: str, bit: int | str) -> str:
    """Name of the group of one high bit of the sum, of ADDER or SUM_REGISTER, or of a register's UNUSED bits."""
    return f"{group} bit {bit}"


def plain(group: str) -> str:
    """The group without its bit."""
    return group.split(" bit ")[0]


def element_groups(netlist: MappedNetlist, product_width: int, used: tuple[int, int]) -> dict[str, str]:
    """Group of every instance and input port of a mapped processing element (module ``pe``).

    ``used`` are masks of the bits of activation and weight that the multiplier reads.
    """
    masks = {"activation_out": used[0], "weight_out": used[1]}
    found = dict(_PORTS)
    register_of = {
        netlist.source_of(net): (name, bit)
        for name in _OUTPUTS
        for bit, net in enumerate(netlist.ports[name][1])
        if net > 1
    }
    unused: set[int] = set()
    lowest: dict[int, int] = {}  # net -> lowest bit of the sum that it reaches
    for flop in netlist.flops:
        shown = [flop.nets[pin.name] for pin in flop.cell.outputs if pin.name in flop.nets]
        name, bit = next((register_of[net] for net in shown if net in register_of), ("", -1))
        if not name:  # shown through an inverter
            name, bit = _behind(netlist, shown, register_of)
        high = name == "sum_out" and bit >= product_width
        found[flop.name] = bit_group(SUM_REGISTER, bit) if high else _OUTPUTS[name]
        if name in masks and not masks[name] >> bit & 1:
            found[flop.name] = bit_group(_OUTPUTS[name], UNUSED)
            unused |= _nets(flop.cell.inputs, flop.nets)
        if name == "sum_out":
            for pin in flop.cell.inputs:
                if pin.name in flop.nets:
                    net = flop.nets[pin.name]
                    lowest[net] = min(bit, lowest.get(net, bit))
    above = {net for net in netlist.ports["sum_in"][1] if net > 1}
    loading = {net for name in ("weight_in", "load") for net in netlist.ports[name][1] if net > 1}
    for gate in netlist.gates:
        inputs, outputs = _nets(gate.cell.inputs, gate.nets), _nets(gate.cell.outputs, gate.nets)
        if above & inputs:
            found[gate.name] = ADDER
            above |= outputs
        elif loading & inputs:
            found[gate.name] = bit_group(WEIGHT_LOADING, UNUSED) if outputs & unused else WEIGHT_LOADING
            loading |= outputs
        else:
            found[gate.name] = MULTIPLIER
    for gate in reversed(netlist.gates):
        bits = [lowest[net] for net in _nets(gate.cell.outputs, gate.nets) if net in lowest]
        if bits:
            for net in _nets(gate.cell.inputs, gate.nets):
                lowest[net] = min(*bits, lowest.get(net, bits[0]))
            if found[gate.name] == ADDER and min(bits) >= product_width:
                found[gate.name] = bit_group(ADDER, min(bits))
    return found


def _nets(pins: Sequence, nets: dict[str, int]) -> set[int]:
    return {nets[pin.name] for pin in pins if pin.name in nets}


def _behind(netlist: MappedNetlist, shown: Sequence[int], register_of: dict[int, tuple[str, int]]) -> tuple[str, int]:
    """The port that shows a register through one gate."""
    for gate in netlist.gates:
        if _nets(gate.cell.inputs, gate.nets) & set(shown):
            for net in _nets(gate.cell.outputs, gate.nets):
                if net in register_of:
                    return register_of[net]
    raise AssertionError(f"a register of {netlist.top!r} shows at none of its ports")
