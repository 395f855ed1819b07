"""Operands like a network's: activations around zero, weights of a bell."""

import numpy as np

from slipstick.rtl.spec.streams import TileStream


def tile(layer: str, seed: int, *, rows=16, columns=16, length=64, spread=14.0) -> TileStream:
    rng = np.random.default_rng(seed)
    a = np.clip(np.rint(rng.laplace(0, spread, (length, rows))), -128, 127).astype(np.int8)
    w = np.clip(np.rint(rng.normal(0, 30, (rows, columns))), -127, 127).astype(np.int8)
    return TileStream(layer, a, w)
