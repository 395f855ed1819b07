"""Buffers on nets of many pins: what a layout tool puts there, in a tree as ``cost.buffer_tree`` counts it."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from slipstick.flow.library.cell import LibertyCell
from slipstick.flow.library.liberty import Liberty
from slipstick.store import digest

from .synth import Synthesis


def with_buffers(synthesis: Synthesis, liberty: Liberty, buffer: str, most: int) -> Synthesis:
    """A mapped design in which no net but a clock drives more than ``most`` pins: buffers of this kind share them."""
    cell = liberty.cell(buffer)
    cells: dict[str, list[Any]] = {
        name: [kind, {p: list(b) for p, b in pins.items()}] for name, (kind, pins) in synthesis.netlist["cells"].items()
    }
    readers = _readers(cells, liberty)
    fresh = 1 + max(bit for _, pins in cells.values() for bits in pins.values() for bit in bits if isinstance(bit, int))
    added = 0
    for net, sinks in readers.items():
        while len(sinks) > most:
            above: list[tuple[str, str]] = []
            for start in range(0, len(sinks), most):
                name = f"buffer_{added}"
                for instance, pin in sinks[start : start + most]:
                    cells[instance][1][pin] = [fresh]
                cells[name] = [buffer, {cell.inputs[0].name: [net], cell.outputs[0].name: [fresh]}]
                above.append((name, cell.inputs[0].name))
                fresh, added = fresh + 1, added + 1
            sinks = above
    counts = synthesis.cells_by_type | {buffer: synthesis.cells_by_type.get(buffer, 0) + added}
    return replace(
        synthesis,
        area_um2=synthesis.area_um2 + added * cell.area_um2,
        cells_by_type=counts,
        netlist=synthesis.netlist | {"cells": cells},
        key=digest("buffers", synthesis.key, liberty.digest, buffer, most),
    )


def _readers(cells: dict[str, list[Any]], liberty: Liberty) -> dict[int, list[tuple[str, str]]]:
    """Instance and pin of everything that reads a net, clocks left out."""
    found: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for name, (kind, pins) in cells.items():
        cell = liberty.cell(kind)
        for pin in cell.inputs:
            for net in pins.get(pin.name, ()):
                if isinstance(net, int) and pin.name not in set(_clock_pins(cell)):
                    found[net].append((name, pin.name))
    return found


def _clock_pins(cell: LibertyCell) -> Iterator[str]:
    element = cell.flop.clocked_on if cell.flop else cell.latch.enable if cell.latch else ""
    return (pin.name for pin in cell.inputs if pin.name in element)
