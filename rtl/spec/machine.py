"""The one description of an accelerator."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from slipstick.errors import UserError

from ..cells.registry import cell
from .array import ArrayConfig, CellMix

VERSION = 1
NUMBERS = ("rows", "columns", "tile_rows", "tile_columns", "accumulator_rows", "depth")
KEYS = {"version", "mix", "digests", *NUMBERS}


@dataclass(frozen=True)
class AcceleratorConfig:
    """A mesh of tiles: ``array`` has R x C products, a tile ``tile_rows`` x ``tile_columns`` of them.

    Registers stand between tiles only: 1 x 1 is the classical systolic array, R x C one dot-product unit.
    ``accumulator_rows`` rows of activations are worked on at a time; sums may hold ``depth`` tiles of R
    products and a bias. Raises UserError for tiles that do not divide the array and for no accumulators.
    """

    array: ArrayConfig
    tile_rows: int = 1
    tile_columns: int = 1
    accumulator_rows: int = 256
    depth: int = 64

    def __post_init__(self) -> None:
        sizes = ("rows", self.tile_rows, self.array.rows), ("columns", self.tile_columns, self.array.columns)
        for what, tile, whole in sizes:
            if tile < 1 or whole % tile:
                divisors = ", ".join(str(n) for n in range(1, whole + 1) if whole % n == 0)
                raise UserError(f"tiles of {tile} {what} do not divide {whole}; possible: {divisors}")
        if self.accumulator_rows < 2 or self.depth < 1:
            raise UserError(
                f"an accelerator needs 2 rows of accumulators and a depth of 1 at least, "
                f"not {self.accumulator_rows} and {self.depth}"
            )

    @property
    def mesh(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        return self.array.rows // self.tile_rows, self.array.columns // self.tile_columns

    def sum_width(self, column: int) -> int:
        """Bits of a column's sums, in the mesh and in the accumulators."""
        return self.array.accumulator_width(column, self.depth)

    def as_json(self) -> dict[str, Any]:
        """Plain JSON that ``from_json`` reads; a mix of uniform columns names each column's cell once."""
        grid = [[one.name for one in row] for row in self.array.mix.grid]
        uniform = all(row == grid[0] for row in grid)
        numbers = {name: getattr(self if hasattr(self, name) else self.array, name) for name in NUMBERS}
        digests = {one.name: one.digest for one in self.array.cells}
        return {"version": VERSION, **numbers, "mix": grid[0] if uniform else grid, "digests": digests}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "AcceleratorConfig":
        """The config of such JSON; UserError for another version, unknown or missing keys, or other cells of a name."""
        if found.get("version") != VERSION:
            raise UserError(f"config is of version {found.get('version')!r}; this Slipstick reads {VERSION}")
        if set(found) != KEYS:
            raise UserError(f"config: unknown or missing keys: {', '.join(sorted(set(found) ^ KEYS))}")
        numbers = {name: found[name] for name in NUMBERS}
        for name, value in numbers.items():
            if type(value) is not int:
                raise UserError(f"config: {name} is {value!r}, not a whole number")
        rows, columns, mix = numbers.pop("rows"), numbers.pop("columns"), found["mix"]
        grid = mix if _is_list_of(mix, list) else [mix] * rows
        if not all(_is_list_of(row, str) for row in grid):
            raise UserError(f"config: mix is {mix!r}, not a list of cells, or of one such list a row")
        cells = tuple(tuple(cell(name) for name in row) for row in grid)
        for one in {one for row in cells for one in row}:
            if found["digests"].get(one.name) != one.digest:
                raise UserError(f"config: cell {one.name!r} is not the one that the config was made with")
        return cls(ArrayConfig(rows, columns, CellMix(cells)), **numbers)


def _is_list_of(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(one, kind) for one in value)
