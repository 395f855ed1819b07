"""From an assignment (layer -> cell) to the tiles of an accelerator and the layers on each."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from slipstick.errors import UserError
from slipstick.rtl.cells import cell
from slipstick.rtl.cells.cell import Cell
from slipstick.rtl.spec.array import ArrayConfig, CellMix

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Tile:
    """One array of the accelerator, all of one cell, and the layers that run on it."""

    name: str
    cell: Cell
    config: ArrayConfig
    layers: tuple[str, ...]


@dataclass(frozen=True)
class Placement:
    """The tiles of an accelerator, and the same columns side by side as one mixed array.

    ``utilisation``: busy share of all columns when the tiles work at the same time, as a pipeline over
    images; 1 when every tile's columns match its share of the MACs exactly.
    """

    tiles: tuple[Tile, ...]
    mixed: ArrayConfig
    utilisation: float


def place(assignment: Mapping[str, str], macs: Mapping[str, int], *, rows: int, columns: int) -> Placement:
    """Divide R x C elements into one tile a cell, columns in proportion to the MACs of its layers.

    Raises UserError when there are more cells than columns.
    """
    load: dict[str, int] = {}
    for layer, name in assignment.items():
        load[name] = load.get(name, 0) + macs[layer]
    if len(load) > columns:
        raise UserError(f"{len(load)} different cells do not fit into {columns} columns; restrict the search's cells")
    share = apportion(load, columns)
    tiles = []
    for number, (name, count) in enumerate(share.items()):
        config = ArrayConfig(rows, count, CellMix.uniform(cell(name), rows=rows, columns=count))
        layers = tuple(layer for layer, chosen in assignment.items() if chosen == name)
        tiles.append(Tile(f"tile_{number}_{name}", cell(name), config, layers))
    side_by_side = [tile.cell for tile in tiles for _ in range(tile.config.columns)]
    mixed = ArrayConfig(rows, columns, CellMix.by_column(side_by_side, rows=rows, columns=columns))
    slowest = max(load[name] / share[name] for name in load)
    return Placement(tuple(tiles), mixed, sum(load.values()) / (columns * slowest))


def apportion(load: Mapping[Key, float], columns: int) -> dict[Key, int]:
    """Columns of each cell: one each, then always one more to the cell with most MACs a column."""
    share = dict.fromkeys(load, 1)
    while sum(share.values()) < columns:
        busiest = max(share, key=lambda name: load[name] / share[name])
        share[busiest] += 1
    return share
