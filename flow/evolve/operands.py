"""What a multiplier sees at work: how often each operand code occurs, and sequences of operands.

Codes are operand bits (two's complement for signed cells). A sequence holds one weight while activations
stream past, as in a weight-stationary array.
"""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from slipstick.errors import UserError
from slipstick.rtl.cells.cell import Cell
from slipstick.store import Store, digest, write_whole

if TYPE_CHECKING:
    from slipstick.model.data import Images
    from slipstick.model.zoo import LoadedModel

TOTAL = 1 << 15
"""Sum of the whole-number weights of an operand's codes: what 16-bit products of weights and errors allow."""
SEQUENCES, LENGTH = 1024, 32
RECORDED_IMAGES = 16
_ARRAYS = ("activation_counts", "weight_counts", "activations", "weights")
_RESULT_VERSION = 1


@dataclass(frozen=True, eq=False)
class Operands:
    """Operand codes of a workload.

    ``activation_counts`` float64 [2^wa] and ``weight_counts`` float64 [2^ww]: how often each code occurs;
    ``activations`` uint16 [S, L] and ``weights`` uint16 [S]: S sequences of L steps. Raises UserError for
    other shapes, codes out of range, and counts that are negative or all zero.
    """

    activation_counts: np.ndarray
    weight_counts: np.ndarray
    activations: np.ndarray
    weights: np.ndarray
    name: str = "operands"

    def __post_init__(self) -> None:
        counts = {"activation_counts": self.activation_counts, "weight_counts": self.weight_counts}
        for title, count in counts.items():
            if count.ndim != 1 or count.size < 2 or count.size & (count.size - 1):
                raise UserError(f"{self.name}: {title} must be one count for each of 2^n codes, not {count.shape}")
            if not np.isfinite(count).all() or (count < 0).any() or not count.any():
                raise UserError(f"{self.name}: {title} must be numbers of at least 0, one of them above it")
        if self.activations.ndim != 2 or self.activations.shape[1] < 2 or len(self.activations) < 1:
            raise UserError(
                f"{self.name}: activations must be [sequences, 2 or more steps], not {self.activations.shape}"
            )
        if self.weights.shape != self.activations.shape[:1]:
            raise UserError(f"{self.name}: {len(self.activations)} sequences need as many weights")
        for title, codes, count in (
            ("activations", self.activations, self.activation_counts), ("weights", self.weights, self.weight_counts)
        ):  # fmt: skip
            if codes.dtype != np.uint16 or codes.max() >= count.size:
                raise UserError(f"{self.name}: {title} hold codes beyond {count.size - 1}")

    @cached_property
    def digest(self) -> str:
        """Hash of all arrays."""
        return digest(*(getattr(self, name) for name in _ARRAYS))

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

    def save(self, path: Path) -> None:
        """Write the arrays as one .npz file."""

        def write(file: Path) -> None:
            with file.open("wb") as stream:
                np.savez_compressed(stream, **{name: getattr(self, name) for name in _ARRAYS})

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
    try:
        with np.load(path, allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise UserError(f"{path}: must be an .npz file with {', '.join(_ARRAYS)}")
            missing = [name for name in _ARRAYS if name not in file]
            if missing:
                raise UserError(f"{path}: lacks the array {missing[0]!r}; needs {', '.join(_ARRAYS)}")
            arrays = {name: file[name] for name in _ARRAYS}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not a readable .npz file ({getattr(error, 'strerror', None) or error})") from error
    for name in _ARRAYS[:2]:
        if arrays[name].dtype.kind not in "iuf":
            raise UserError(f"{path}: {name} must hold numbers")
    for name in _ARRAYS[2:]:
        if arrays[name].dtype.kind not in "iu" or (arrays[name].size and arrays[name].min() < 0):
            raise UserError(f"{path}: {name} must hold operand bits as whole numbers of at least 0")
        arrays[name] = arrays[name].clip(max=65535).astype(np.uint16)
    counts = {name: arrays[name].astype(np.float64) for name in _ARRAYS[:2]}
    return Operands(**counts, activations=arrays["activations"], weights=arrays["weights"], name=str(path))


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


def shipped_operands(store: Store | None = None) -> Operands:
    """Operands of the shipped ViT on its calibration images; recorded once, kept under the content of both."""
    from slipstick.model.data import ASSETS, shipped  # torch comes with it
    from slipstick.model.zoo import load_model

    sources = [path.read_bytes() for path in sorted(ASSETS.iterdir()) if path.is_file()]
    key = digest(*sources, SEQUENCES, LENGTH, RECORDED_IMAGES, _RESULT_VERSION)[:32]
    path = (store or Store("operands")).folder / f"{key}.npz"
    if not path.exists():
        record_operands(load_model(), shipped("calibration")).save(path)
    return replace(load_operands(path), name="operands of the shipped ViT")


def record_operands(loaded: "LoadedModel", images: "Images", *, seed: int = 0) -> Operands:
    """Convert and calibrate a model on images, and record the operands of all its layers on the first 16."""
    from slipstick.model.convert import approximate_
    from slipstick.model.evaluate import input_batches
    from slipstick.model.workload import record, workload

    batches = input_batches(loaded, images)
    approximate_(loaded.module, {}, batches, seed=seed)
    recordings = record(loaded.module, batches[0][:RECORDED_IMAGES])
    macs = {name: shape.macs for name, shape in workload(loaded.module).items()}
    products = {name: (one.activations, one.stationary) for name, one in recordings.items()}
    return operands_of(products, macs, seed=seed, name=f"operands of {loaded.name}")


def operands_of(
    products: Mapping[str, tuple[np.ndarray, np.ndarray]], macs: Mapping[str, int], *, seed: int = 0, name: str
) -> Operands:
    """Operands of recorded layers, each in proportion to its MACs.

    ``products``: activations int8 [P, M, K] and stationary operands int8 [S, K, N] by layer; product p uses
    row p modulo S. Sequences come from layers of at least 32 rows; UserError where there is none.
    """
    counts = np.zeros((2, 256))
    for layer, codes in products.items():
        for row, part in zip(counts, codes, strict=True):
            row += macs[layer] * np.bincount(part.view(np.uint8).ravel(), minlength=256) / part.size
    long = [layer for layer, (activations, _) in products.items() if activations.shape[1] >= LENGTH]
    if not long:
        raise UserError(f"{name}: no layer has the {LENGTH} rows of activations that a sequence needs")
    share = np.array([macs[layer] for layer in long], float)
    rng = np.random.default_rng(seed)
    activations, weights = np.empty((SEQUENCES, LENGTH), np.uint16), np.empty(SEQUENCES, np.uint16)
    for index, choice in enumerate(rng.choice(len(long), SEQUENCES, p=share / share.sum())):
        a, w = products[long[choice]]
        product, start = rng.integers(a.shape[0]), rng.integers(a.shape[1] - LENGTH + 1)
        k, n = rng.integers(w.shape[1]), rng.integers(w.shape[2])
        activations[index] = a[product, start : start + LENGTH, k].view(np.uint8)
        weights[index] = w[product % len(w), k, n].view(np.uint8)
    return Operands(counts[0], counts[1], activations, weights, name)
