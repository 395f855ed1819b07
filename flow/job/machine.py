"""From an array and what the user says of its tiles to the machine that is built."""

import re

from slipstick.errors import UserError
from slipstick.rtl.cells import cell
from slipstick.rtl.spec.array import ArrayConfig, CellMix
from slipstick.rtl.spec.machine import AcceleratorConfig

AUTO = "auto"


def default_tile(rows: int, columns: int) -> tuple[int, int]:
    """Rows and columns of a tile where the user names none: the whole array is one tile."""
    return rows, columns


def tile_of(tile: str, rows: int, columns: int) -> tuple[int, int]:
    """Rows and columns of a tile in an array of ``rows`` x ``columns``, from ``4x16`` or ``auto``.

    Raises UserError for another form; whether tiles divide an array is AcceleratorConfig's to say.
    """
    if tile == AUTO:
        return default_tile(rows, columns)
    found = re.fullmatch(r"(\d{1,4})x(\d{1,4})", tile)
    if not found:
        raise UserError(f"--tile {tile!r} is not ROWSxCOLUMNS, such as 4x16, nor {AUTO}")
    return int(found[1]), int(found[2])


def check_tile(tile: str, rows: int, columns: int) -> None:
    """UserError unless such tiles divide an array of ``rows`` x ``columns``."""
    machine(ArrayConfig(rows, columns, CellMix.uniform(cell("exact8s"), rows=rows, columns=columns)), tile)


def machine(
    array: ArrayConfig,
    tile: str = AUTO,
    *,
    accumulator_rows: int = AcceleratorConfig.accumulator_rows,
    depth: int = AcceleratorConfig.depth,
) -> AcceleratorConfig:
    """The machine of an array; UserError for tiles that do not divide it."""
    rows, columns = tile_of(tile, array.rows, array.columns)
    return AcceleratorConfig(array, rows, columns, accumulator_rows, depth)


def narrow_machine(
    array: ArrayConfig, tile: str, *, accumulator_rows: int = AcceleratorConfig.accumulator_rows, depth: int
) -> AcceleratorConfig:
    """The machine of an array with fewer columns than ``tile`` was given for: tiles that do not divide it span it."""
    rows, columns = tile_of(tile, array.rows, array.columns)
    return AcceleratorConfig(
        array, rows, array.columns if array.columns % columns else columns, accumulator_rows, depth
    )
