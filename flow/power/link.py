"""Mapped modules joined as one flat netlist, the way a design places them."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from slipstick.errors import UserError
from slipstick.store import digest

from .synth import Synthesis

Bit = int | str
CONSTANTS = ("0", "1")
NOTHING: Mapping[str, Mapping[str, str]] = MappingProxyType({})
_FACING = {"input": "output", "output": "input"}


def link(top: str, parts: Mapping[str, Synthesis], left_out: Mapping[str, Mapping[str, str]] = NOTHING) -> Synthesis:
    """``parts[top]`` with every instance of another part replaced by that part's cells.

    Cells and nets of an instance are called ``<instance>.<name>``. Modules ``left_out``, by name with the directions
    of their ports, leave ports ``<instance>.<port>`` behind: inputs where they drive, outputs where they read.
    """
    flat = _Flat(parts, left_out)
    bits = flat.place(top, "", {})
    directions = {name: direction for name, (direction, _) in parts[top].netlist["ports"].items()}
    ports: dict[str, list[Any]] = {name: [one, bits[name]] for name, one in directions.items()} | flat.ports
    cells = {name: (kind, flat.connected(pins)) for name, (kind, pins) in flat.cells.items()}
    netlist = {
        "ports": {name: [direction, flat.resolved(nets)] for name, (direction, nets) in ports.items()},
        "cells": {name: list(cell) for name, cell in cells.items()},
        "nets": {name: flat.resolved(nets) for name, nets in flat.nets.items()},
    }
    counts: dict[str, int] = {}
    for kind, _ in cells.values():
        counts[kind] = counts.get(kind, 0) + 1
    used = sorted(flat.used)
    return replace(
        parts[top],
        area_um2=sum(parts[name].area_um2 * count for name, count in flat.used.items()),
        sequential_area_um2=sum(parts[name].sequential_area_um2 * count for name, count in flat.used.items()),
        delay_ps=None,
        cells_by_type=counts,
        netlist=netlist,
        log="",
        key=digest("linked", top, sorted(left_out), *(part for name in used for part in (name, parts[name].key))),
    )


class _Flat:
    """Cells and nets of a design; bits of modules get numbers of their own, and are joined where modules meet."""

    def __init__(self, parts: Mapping[str, Synthesis], left_out: Mapping[str, Mapping[str, str]]) -> None:
        self.parts, self.left_out = parts, left_out
        self.cells: dict[str, tuple[str, dict[str, list[Bit]]]] = {}
        self.nets: dict[str, list[Bit]] = {}
        self.ports: dict[str, list[Any]] = {}
        self.used: dict[str, int] = {}
        self._joined: dict[Bit, Bit] = {}
        self._count = 2

    def place(self, module: str, prefix: str, given: Mapping[str, list[Bit]]) -> dict[str, list[Bit]]:
        """Add a module whose ports are connected to the bits ``given``; the bits of all its ports."""
        self.used[module] = self.used.get(module, 0) + 1
        netlist = self.parts[module].netlist
        own: dict[Bit, Bit] = {"0": "0", "1": "1", "x": "0", "z": "0"}

        def bits_of(bits: list[Bit]) -> list[Bit]:
            for bit in bits:
                if bit not in own:
                    own[bit] = self._count
                    self._count += 1
            return [own[bit] for bit in bits]

        ports = {name: bits_of(bits) for name, (_, bits) in netlist["ports"].items()}
        for name, outer in given.items():
            for inner, bit in zip(ports[name], outer, strict=True):
                self._join(inner, bit)
        for name, bits in netlist["nets"].items():
            self.nets[prefix + name] = bits_of(bits)
        for name, (kind, pins) in netlist["cells"].items():
            connected = {pin: bits_of(bits) for pin, bits in pins.items()}
            if kind in self.parts:
                self.place(kind, f"{prefix}{name}.", connected)
            elif kind in self.left_out:
                for pin, direction in self.left_out[kind].items():
                    self.ports[f"{prefix}{name}.{pin}"] = [_FACING[direction], connected[pin]]
            else:
                self.cells[prefix + name] = kind, connected
        return ports

    def _join(self, one: Bit, other: Bit) -> None:
        one, other = self._root(one), self._root(other)
        if one != other:
            if one in CONSTANTS and other in CONSTANTS:
                raise UserError("two modules drive one net with different constants")
            self._joined[other if one in CONSTANTS else one] = one if one in CONSTANTS else other

    def _root(self, bit: Bit) -> Bit:
        while bit in self._joined:
            bit = self._joined[bit]
        return bit

    def resolved(self, bits: list[Bit]) -> list[Bit]:
        """The bits that stand for these."""
        return [self._root(bit) for bit in bits]

    def connected(self, pins: Mapping[str, list[Bit]]) -> dict[str, list[Bit]]:
        """Pins of a cell with the bits that stand for theirs."""
        return {pin: self.resolved(bits) for pin, bits in pins.items()}
