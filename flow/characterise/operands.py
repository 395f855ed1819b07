"""What a multiplier sees at work: how often each operand code occurs, and sequences of operands.

Codes are operand bits (two's complement for signed cells). A sequence holds one weight while activations
stream past, as in a weight-stationary array; a tile holds those of a whole array.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from slipstick.arrays import read_npz
from slipstick.errors import UserError
from slipstick.files import write_whole
from slipstick.rtl.cells.cell import Cell, operand_values
from slipstick.rtl.spec.streams import TileStream
from slipstick.store import digest

TOTAL = 1 << 15
"""Sum of the whole-number weights of an operand's codes: what 16-bit products of weights and errors allow."""
SEQUENCES, LENGTH = 1024, 32
_ARRAYS = ("activation_counts", "weight_counts", "activations", "weights")
_TILES = ("tile_activations", "tile_weights", "rows_per_tile")


@dataclass(frozen=True, eq=False)
class Operands:
    """Operand codes of a workload.

    ``activation_counts`` float64 [2^wa] and ``weight_counts`` float64 [2^ww]: how often each code occurs;
    ``activations`` uint16 [S, L] and ``weights`` uint16 [S]: S sequences of L steps; ``tile_activations``
    int8 [T, L, R] and ``tile_weights`` int8 [T, R, C], where recorded: T tiles of an array at work, past
    each of which ``rows_per_tile`` rows stream before the next is loaded. Raises UserError for other
    shapes, codes out of range, and counts that are negative or all zero.
    """

    activation_counts: np.ndarray
    weight_counts: np.ndarray
    activations: np.ndarray
    weights: np.ndarray
    name: str = "operands"
    tile_activations: np.ndarray | None = None
    tile_weights: np.ndarray | None = None
    rows_per_tile: float = LENGTH

    def __post_init__(self) -> None:
        for title, count in zip(_ARRAYS[:2], self.counts, strict=True):
            if count.ndim != 1 or count.size < 2 or count.size & (count.size - 1):
                raise UserError(f"{self.name}: {title} must be one count for each of 2^n codes, not {count.shape}")
            if not np.isfinite(count).all() or (count < 0).any() or not count.any():
                raise UserError(f"{self.name}: {title} must be numbers of at least 0, one of them above it")
        if self.activations.ndim != 2 or self.activations.shape[1] < 2 or len(self.activations) < 1:
            raise UserError(f"{self.name}: activations must be [sequences, steps], not {self.activations.shape}")
        if self.weights.shape != self.activations.shape[:1]:
            raise UserError(f"{self.name}: {len(self.activations)} sequences need as many weights")
        for title, codes, count in (
            ("activations", self.activations, self.activation_counts), ("weights", self.weights, self.weight_counts)
        ):  # fmt: skip
            if codes.dtype != np.uint16 or codes.max() >= count.size:
                raise UserError(f"{self.name}: {title} hold codes beyond {count.size - 1}")
        held, passed = self.tile_weights, self.tile_activations
        if held is None and passed is None:
            return
        if held is None or passed is None or held.ndim != 3 or passed.ndim != 3 or len(held) != len(passed):
            raise UserError(f"{self.name}: tile_activations [T, L, R] and tile_weights [T, R, C] go together")
        if not self.tiles or not self.rows_per_tile >= 1:
            raise UserError(f"{self.name}: at least one tile and one row past it are needed")

    @cached_property
    def digest(self) -> str:
        """Hash of all arrays."""
        return digest(*self._arrays().values())

    @property
    def tiles(self) -> list[TileStream]:
        """The recorded tiles; empty for operands without any."""
        if self.tile_activations is None or self.tile_weights is None:
            return []
        return [TileStream(self.name, *tile) for tile in zip(self.tile_activations, self.tile_weights, strict=True)]

    def magnitudes(self) -> "Operands":
        """The same operands without their signs, as an unsigned cell in a sign-magnitude wrapper sees them."""
        values = [np.abs(operand_values(count.size.bit_length() - 1, True)) for count in self.counts]
        counts = [np.bincount(v, c, minlength=c.size) for v, c in zip(values, self.counts, strict=True)]
        codes = [v[c].astype(np.uint16) for v, c in zip(values, (self.activations, self.weights), strict=True)]
        return Operands(counts[0], counts[1], codes[0], codes[1], f"magnitudes of {self.name}")

    @property
    def counts(self) -> tuple[np.ndarray, np.ndarray]:
        """Counts of both operands."""
        return self.activation_counts, self.weight_counts

    @cached_property
    def activation_weights(self) -> np.ndarray:
        """Whole-number share of each activation code, int32 [2^wa], of a sum of 2^15."""
        return whole_shares(self.activation_counts)

    @cached_property
    def weight_weights(self) -> np.ndarray:
        """Whole-number share of each weight code, int32 [2^ww], of a sum of 2^15."""
        return whole_shares(self.weight_counts)

    def check_fits(self, cell: Cell) -> None:
        """UserError unless the codes are those of the cell's operands."""
        sizes = len(self.activation_counts), len(self.weight_counts)
        if sizes != tuple(1 << width for width in cell.widths):
            raise UserError(f"{self.name} counts {sizes[0]} and {sizes[1]} codes, not those of cell {cell.name!r}")

    def mean(self, values: np.ndarray) -> float:
        """Mean of ``values`` [2^wa, 2^ww] over all operand pairs, weighted by both operands' shares."""
        return float(self.activation_weights @ values.astype(np.float64) @ self.weight_weights) / TOTAL**2

    def _arrays(self) -> dict[str, Any]:
        names = _ARRAYS + (_TILES if self.tile_weights is not None else ())
        return {name: np.asarray(getattr(self, name)) for name in names}

    def save(self, path: Path) -> None:
        """Write the arrays as one .npz file."""

        def write(file: Path) -> None:
            with file.open("wb") as stream:
                np.savez_compressed(stream, **self._arrays())

        write_whole(path, write)


def whole_shares(counts: np.ndarray) -> np.ndarray:
    """Shares int32 [n] in proportion to counts [n], with a sum of exactly 2^15 (largest remainders)."""
    exact = counts / counts.sum() * TOTAL
    shares = np.floor(exact).astype(np.int64)
    order = np.argsort(shares - exact, kind="stable")
    shares[order[: TOTAL - int(shares.sum())]] += 1
    return shares.astype(np.int32)


def load_operands(path: Path) -> Operands:
    """Read what ``Operands.save`` or a user's own ``numpy.savez`` wrote; UserError names the file and the fault."""
    arrays = read_npz(path, f"a readable .npz file with {', '.join(_ARRAYS)}", _ARRAYS, _TILES)
    tiles: dict[str, Any] = {name: arrays[name] for name in _TILES if name in arrays}
    if tiles:
        try:
            tiles["rows_per_tile"] = float(tiles.get("rows_per_tile", LENGTH))
        except (ValueError, TypeError) as error:
            raise UserError(f"{path}: rows_per_tile must be one number ({error})") from error
    for name in _ARRAYS[:2]:
        if arrays[name].dtype.kind not in "iuf":
            raise UserError(f"{path}: {name} must hold numbers")
    for name in _ARRAYS[2:]:
        if arrays[name].dtype.kind not in "iu" or (arrays[name].size and arrays[name].min() < 0):
            raise UserError(f"{path}: {name} must hold operand bits as whole numbers of at least 0")
        arrays[name] = arrays[name].clip(max=65535).astype(np.uint16)
    counts = [arrays[name].astype(np.float64) for name in _ARRAYS[:2]]
    return Operands(counts[0], counts[1], arrays["activations"], arrays["weights"], path.stem, **tiles)


def uniform_operands(widths: tuple[int, int], seed: int = 0) -> Operands:
    """Every code equally often, and sequences of independent uniform codes."""
    rng = np.random.default_rng(seed)
    return Operands(
        np.ones(1 << widths[0]),
        np.ones(1 << widths[1]),
        rng.integers(0, 1 << widths[0], (SEQUENCES, LENGTH)).astype(np.uint16),
        rng.integers(0, 1 << widths[1], SEQUENCES).astype(np.uint16),
        "uniform operands",
    )
