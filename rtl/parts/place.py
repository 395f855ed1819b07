"""Placing parts: as one shared Verilog module a kind, or nested for Amaranth's own simulator."""

from collections.abc import Callable, Iterator
from typing import Any

from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal, Signal, Value
from amaranth.lib.wiring import In


class Library:
    """The parts that a design shares: each kind of component with each set of parameters once.

    With a ``name`` of the design, that is the name of the first part's module and begins those of all others.
    """

    def __init__(self, name: str | None = None) -> None:
        self._parts: dict[tuple, Any] = {}
        self._name = name

    def module_name(self, part: Any) -> str:
        """The name of a part's module in this design."""
        if self._name is None:
            return part.module_name
        return self._name if part is next(iter(self._parts.values())) else f"{self._name}_{part.module_name}"

    def part(self, kind: Callable[..., Any], *parameters: Any) -> Any:
        """The one component ``kind(*parameters, self)``."""
        key = (kind, *parameters)
        if key not in self._parts:
            self._parts[key] = kind(*parameters, self)
        return self._parts[key]

    def parts(self) -> Iterator[Any]:
        """Every part in order of first use; elaborating one may add more, which follow."""
        given = 0
        while given < len(self._parts):
            yield list(self._parts.values())[given]
            given += 1


def place(
    m: Module,
    name: str,
    library: Library | None,
    kind: Callable[..., Any],
    *parameters: Any,
    inputs: dict[str, Any],
    unused: tuple[str, ...] = (),
) -> Any:
    """Put ``kind(*parameters)`` into ``m`` under ``name``, connect its inputs, return its interface.

    With a library it becomes an ``Instance`` of a Verilog module (the component's ``module_name``)
    that all parts of its kind share, with output wires called ``<name>__<member>``; without one it is
    a submodule of its own, since Amaranth cannot simulate an Instance. ``unused`` names the outputs
    that nobody reads; their wires say so.
    """
    if library is None:
        component = kind(*parameters)
        m.submodules[name] = component
        m.d.comb += [getattr(component, member).eq(value) for member, value in inputs.items()]
        return component
    component = library.part(kind, *parameters)
    outputs = component.signature.create(path=(name,))
    pins: dict[str, Any] = {"i_clk": ClockSignal()} if component.clocked else {}
    if getattr(component, "resettable", False):
        pins["i_rst"] = ResetSignal()
    for (member,), description, output in component.signature.flatten(outputs):
        if description.flow is In:
            value = Value.cast(inputs[member])
            assert len(value) == len(Value.cast(output)), f"{name}.{member}: {value!r} has another width"
            pins[f"i_{member}"] = value
        elif member in unused:
            pins[f"o_{member}"] = Signal(description.shape, name=f"{name}__{member}_unused")
        else:
            pins[f"o_{member}"] = output
    m.submodules[name] = Instance(library.module_name(component), **pins)
    return outputs
