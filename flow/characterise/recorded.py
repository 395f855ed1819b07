"""Operands that a network really multiplies: recorded from the shipped ViT, or from any recorded layers."""

import importlib.metadata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import slipstick.model
from slipstick.errors import UserError
from slipstick.sources import code_digest
from slipstick.store import Store, digest

from .operands import LENGTH, SEQUENCES, Operands, load_operands

if TYPE_CHECKING:
    from slipstick.model.data import Images
    from slipstick.model.layers.config import QuantConfig
    from slipstick.model.zoo import LoadedModel

TILES, TILE_SIZE = 64, 16
RECORDED_IMAGES = 16


def shipped_operands(store: Store | None = None) -> Operands:
    """Operands of the shipped ViT on its calibration images; recorded once, kept under the content of both."""
    assets = Path(str(slipstick.model.__file__)).parent / "assets"  # model.data knows, and imports torch
    sources = [path.read_bytes() for path in sorted(assets.iterdir()) if path.is_file()]
    tools = [importlib.metadata.version(package) for package in ("torch", "timm")]
    key = digest(*sources, SEQUENCES, LENGTH, TILES, TILE_SIZE, RECORDED_IMAGES, code_digest(__name__), tools)[:32]
    with (store or Store("operands")).building(key) as (folder, ready):
        path = folder / "shipped ViT.npz"
        if not ready:
            from slipstick.model.data import shipped  # torch comes with it: seconds, for a file that is kept
            from slipstick.model.zoo import load_model

            record_operands(load_model(), shipped("calibration")).save(path)
        return load_operands(path)


def record_operands(
    loaded: "LoadedModel",
    images: "Images",
    quantisation: "QuantConfig | None" = None,
    *,
    seed: int = 0,
    name: str = "shipped ViT",
) -> Operands:
    """Convert and calibrate a model on images, and record the operands of all its layers on the first 16."""
    from slipstick.model.convert import approximate_
    from slipstick.model.evaluate import input_batches
    from slipstick.model.workload import record, workload

    batches = input_batches(loaded, images)
    approximate_(loaded.module, {}, batches, quantisation, seed)
    recordings = record(loaded.module, batches[0][:RECORDED_IMAGES])
    macs = {layer: shape.macs for layer, shape in workload(loaded.module).items()}
    products = {layer: (one.activations, one.stationary) for layer, one in recordings.items()}
    return operands_of(products, macs, seed=seed, name=name)


def operands_of(
    products: Mapping[str, tuple[np.ndarray, np.ndarray]],
    macs: Mapping[str, int],
    *,
    seed: int = 0,
    name: str = "shipped ViT",
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

    def draw(count: int) -> Sequence[tuple[np.ndarray, np.ndarray]]:
        """Rows [LENGTH, K] of some product and its stationary operand [K, N], ``count`` times."""
        drawn = []
        for choice in rng.choice(len(long), count, p=share / share.sum()):
            a, w = products[long[choice]]
            product, start = rng.integers(a.shape[0]), rng.integers(a.shape[1] - LENGTH + 1)
            drawn.append((a[product, start : start + LENGTH], w[product % len(w)]))
        return drawn

    activations, weights = np.empty((SEQUENCES, LENGTH), np.uint16), np.empty(SEQUENCES, np.uint16)
    for index, (a, w) in enumerate(draw(SEQUENCES)):
        k, n = rng.integers(w.shape[0]), rng.integers(w.shape[1])
        activations[index], weights[index] = a[:, k].view(np.uint8), w[k, n].view(np.uint8)
    tile_activations = np.zeros((TILES, LENGTH, TILE_SIZE), np.int8)  # the array pads with zeros
    tile_weights = np.zeros((TILES, TILE_SIZE, TILE_SIZE), np.int8)
    for index, (a, w) in enumerate(draw(TILES)):
        top, left = (TILE_SIZE * int(rng.integers(-(-size // TILE_SIZE))) for size in w.shape)
        a, w = a[:, top : top + TILE_SIZE], w[top : top + TILE_SIZE, left : left + TILE_SIZE]
        tile_activations[index, :, : a.shape[1]] = a
        tile_weights[index, : w.shape[0], : w.shape[1]] = w
    # Loading weights costs by tile, so rows count by the tiles that they share.
    rows = 1 / sum(share / share.sum() / [products[layer][0].shape[1] for layer in long])
    return Operands(counts[0], counts[1], activations, weights, name, tile_activations, tile_weights, float(rows))
