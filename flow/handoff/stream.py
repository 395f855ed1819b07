"""The stream's format as a page for whoever builds around the design, from the description beside the code."""

import inspect
from collections.abc import Iterable, Mapping

from slipstick.rtl.spec import beats
from slipstick.rtl.spec.beats import CONSTANTS, FIELDS, OF_LAYER

from .design import HandedDesign


def stream_markdown(design: HandedDesign) -> str:
    """Text of ``stream.md``: beats, fields, constants, answers and timing of this very design."""
    config, (tile_rows, tile_columns) = design.config, design.config.mesh
    rows, columns, user_bits = config.array.rows, config.array.columns, sum(FIELDS.values())
    reach = tile_rows + tile_columns
    return f"""# The stream of {design.top}

{config.array.describe()}; R = {rows}, C = {columns}. Tiles of {config.tile_rows} x {config.tile_columns}:
I = {tile_rows}, J = {tile_columns}.
`s_axis_tdata` has {rows + columns} bytes, `s_axis_tuser` {user_bits} bits, `m_axis_tdata` {columns} lanes of 32 bits.
Accumulators hold {config.accumulator_rows} rows of activations, and sums of up to {config.depth} tiles of weights
and a bias.

## Format

{(inspect.getdoc(beats) or "").replace("``", "`")}

Here an answer stands at `m_axis` {reach + 2} cycles after its beat, a row that adds to an accumulator is taken
{tile_rows + 1} cycles after the row that stores it, a write {reach + 1} cycles after the last row that uses what it
changes.

## Bits of `s_axis_tuser`

| field | bits |
|---|---|
{_lines(f"| {name} | {bits} |" for name, bits in _places(FIELDS, 0).items())}

## Addresses

| `address` | stores |
|---|---|
| 0 to {rows - 1} | a row of weights, in bank `write_bank` |
{_lines(f"| {bytes_of} | {_constant(name)} |" for name, bytes_of in _places(CONSTANTS, rows, " to ").items())}
"""


def _places(sizes: Mapping[str, int], first: int, between: str = ":") -> dict[str, str]:
    """Where every field lies, one behind the other: bits from the highest, bytes from the lowest."""
    found = {}
    for name, size in sizes.items():
        ends = (first, first + size - 1)
        low, high = ends if between != ":" else reversed(ends)
        found[name] = str(low) if size == 1 else f"{low}{between}{high}"
        first += size
    return found


def _constant(name: str) -> str:
    whose = "of all columns, from lane 0" if name in OF_LAYER else "of every column"
    return f"{name} {whose}, a byte of it each, the lowest first" if CONSTANTS[name] > 1 else f"{name} {whose}"


def _lines(rows: Iterable[str]) -> str:
    return "\n".join(rows)
