"""From an assignment (layer -> cell) to one mixed array and the columns that each layer may use."""

from collections.abc import Mapping
from dataclasses import dataclass

from slipstick.errors import UserError
from slipstick.rtl.cells import cell
from slipstick.rtl.spec.array import ArrayConfig, CellMix


@dataclass(frozen=True)
class Placement:
    """A mixed array and, for every layer, the columns that hold its cell.

    ``utilisation``: busy share of all columns when layers of different cells run at the same time, as
    a pipeline over images; 1 when the columns match the share of the MACs exactly.
    """

    config: ArrayConfig
    columns: dict[str, tuple[int, ...]]
    utilisation: float


def place(assignment: Mapping[str, str], macs: Mapping[str, int], *, rows: int, columns: int) -> Placement:
    """Give every cell columns in proportion to the MACs of its layers, at least one each.

    Raises UserError when there are more cells than columns.
    """
    load: dict[str, int] = {}
    for layer, name in assignment.items():
        load[name] = load.get(name, 0) + macs[layer]
    if len(load) > columns:
        raise UserError(f"{len(load)} different cells do not fit into {columns} columns; restrict the search's cells")
    share = apportion(load, columns)
    chosen = [cell(name) for name, count in share.items() for _ in range(count)]
    config = ArrayConfig(rows, columns, CellMix.by_column(chosen, rows=rows, columns=columns))
    slowest = max(load[name] / share[name] for name in load)
    utilisation = sum(load.values()) / (columns * slowest)
    return Placement(config, {layer: config.columns_of(cell(name)) for layer, name in assignment.items()}, utilisation)


def apportion(load: Mapping[str, int], columns: int) -> dict[str, int]:
    """Columns of each cell: one each, then always one more to the cell with most MACs a column."""
    share = dict.fromkeys(load, 1)
    while sum(share.values()) < columns:
        busiest = max(share, key=lambda name: load[name] / share[name])
        share[busiest] += 1
    return share
