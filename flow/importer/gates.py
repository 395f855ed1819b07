"""A flat module of Yosys' single-bit gates as a netlist: traced again, so it is canonical.

Beside its value every net has a second bit, "undefined", which is a constant 0 unless the source leaves a
net undriven, assigns x or z, or reads past a vector's end: then it says for which operands that reaches the
product, as a simulator would.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from slipstick.errors import UserError
from slipstick.rtl.cells.netlist import Netlist

AnyBit = Any  # a Bit or a Python 0 or 1
Signal = tuple[AnyBit, AnyBit]  # value, undefined
Net = int | str
ALL_PAIRS = 20  # bits of both operands up to which undefined products are looked for on all pairs


def _not(x: Signal) -> Signal:
    return 1 ^ x[0], x[1]


def _and(x: Signal, y: Signal) -> Signal:
    zero = (1 ^ x[0]) & (1 ^ x[1]) | (1 ^ y[0]) & (1 ^ y[1])  # a defined 0 decides
    return x[0] & y[0], (x[1] | y[1]) & (1 ^ zero)


def _or(x: Signal, y: Signal) -> Signal:
    one = x[0] & (1 ^ x[1]) | y[0] & (1 ^ y[1])  # a defined 1 decides
    return x[0] | y[0], (x[1] | y[1]) & (1 ^ one)


def _xor(x: Signal, y: Signal) -> Signal:
    return x[0] ^ y[0], x[1] | y[1]


def _mux(zero: Signal, one: Signal, select: Signal) -> Signal:
    differ = zero[0] ^ one[0]
    value = zero[0] ^ (select[0] & differ)
    chosen = zero[1] ^ (select[0] & (zero[1] ^ one[1]))
    return value, chosen & (1 ^ select[1]) | select[1] & (differ | zero[1] | one[1])


GATES: dict[str, tuple[str, Callable[..., Signal]]] = {
    "$_BUF_": ("A", lambda a: a),
    "$_NOT_": ("A", _not),
    "$_AND_": ("AB", _and),
    "$_NAND_": ("AB", lambda a, b: _not(_and(a, b))),
    "$_OR_": ("AB", _or),
    "$_NOR_": ("AB", lambda a, b: _not(_or(a, b))),
    "$_XOR_": ("AB", _xor),
    "$_XNOR_": ("AB", lambda a, b: _not(_xor(a, b))),
    "$_ANDNOT_": ("AB", lambda a, b: _and(a, _not(b))),
    "$_ORNOT_": ("AB", lambda a, b: _or(a, _not(b))),
    "$_MUX_": ("ABS", _mux),
    "$_NMUX_": ("ABS", lambda a, b, s: _not(_mux(a, b, s))),
}
"""Gates of Yosys: input ports, and the function."""


def to_netlist(
    cells: dict[str, Any],
    a: Sequence[int],
    w: Sequence[int],
    product: Sequence[Net],
    what: str,
    tied: Mapping[int, int] | None = None,
) -> Netlist:
    """Trace the gates between the operands' nets and the product's, LSB first.

    ``cells`` are those of a module in Yosys' JSON; ``what`` names it in errors; ``tied`` nets are constant. Raises
    UserError for loops, cells that are no gates, nets with two drivers, and products undefined for some operands.
    """
    given = {*a, *w, *(tied or {})}
    drivers = _drivers(cells, given, what)
    order = _topological(drivers, [net for net in product if isinstance(net, int)], given, what)

    def signals(left: list[AnyBit], right: list[AnyBit]) -> list[Signal]:
        nets: dict[Net, Signal] = {"0": (0, 0), "1": (1, 0), "x": (0, 1), "z": (0, 1)}
        nets |= {net: (value, 0) for net, value in (tied or {}).items()}
        nets |= {net: (bit, 0) for net, bit in zip([*a, *w], [*left, *right], strict=True)}
        for net in order:
            ports, function = GATES[drivers[net]["type"]] if net in drivers else ("", lambda: (0, 1))
            nets[net] = function(*(nets[drivers[net]["connections"][port][0]] for port in ports))
        return [nets[net] for net in product]

    widths = (len(a), len(w))
    both = Netlist.trace(
        lambda left, right: [b for pair in zip(*signals(left, right), strict=True) for b in pair], widths
    )
    if any(both.outputs[len(product) :]):
        _refuse_undefined(Netlist.trace(lambda x, y: [s[1] for s in signals(x, y)], widths), what)
    return Netlist.trace(lambda left, right: [value for value, _ in signals(left, right)], widths)


def _drivers(cells: dict[str, Any], operands: set[int], what: str) -> dict[int, dict[str, Any]]:
    drivers: dict[int, dict[str, Any]] = {}
    for name, cell in cells.items():
        if cell["type"] not in GATES:
            raise UserError(f"{what} has {name!r} of type {cell['type']!r}, which is no logic gate")
        net = cell["connections"]["Y"][0]
        if net in drivers or net in operands:
            raise UserError(f"{what} drives a net twice, the output of {name!r}")
        drivers[net] = cell
    return drivers


def _topological(drivers: dict[int, dict[str, Any]], roots: Sequence[int], operands: set[int], what: str) -> list[int]:
    done, order = set(operands), []
    for root in roots:
        stack, entered = [root], set()
        while stack:
            net = stack[-1]
            if net in done:
                stack.pop()
                continue
            cell = drivers.get(net)
            inputs = [cell["connections"][port][0] for port in GATES[cell["type"]][0]] if cell else []
            missing = [source for source in inputs if isinstance(source, int) and source not in done]
            if net in entered and missing:
                raise UserError(f"{what} has a combinational loop; a cell must not feed back")
            entered.add(net)
            if missing:
                stack += missing
            else:
                done.add(stack.pop())
                order.append(net)
    return order


def _refuse_undefined(undefined: Netlist, what: str) -> None:
    """UserError for the first operands with an undefined product bit, if there are any."""
    bits = sum(undefined.widths)
    pairs = (
        np.arange(1 << bits) if bits <= ALL_PAIRS else np.random.default_rng(0).integers(0, 1 << bits, 1 << ALL_PAIRS)
    )
    a, w = pairs >> undefined.widths[1], pairs & ((1 << undefined.widths[1]) - 1)
    found = undefined.evaluate(a, w)
    if found.any():
        first = int(found.argmax()) if found.dtype == bool else int(np.flatnonzero(found)[0])
        lowest = (int(found[first]) & -int(found[first])).bit_length() - 1
        raise UserError(
            f"{what}: bit {lowest} of the product is undefined (not driven, x or z) for operand bits "
            f"{a[first]} and {w[first]}, and for {int((found != 0).sum())} of {len(found)} pairs"
        )
