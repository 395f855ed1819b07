"""Random weightless MLPs for tests."""

import numpy as np

from slipstick.rtl.spec.lutnet import LutLayerSpec, LutNetSpec


def random_layer(bits: int, count: int, arity: int, rng: np.random.Generator) -> LutLayerSpec:
    mapping = rng.integers(0, bits, (count, arity))
    return LutLayerSpec(mapping, rng.integers(0, 2, (count, 1 << arity)).astype(np.uint8))


def random_lutnet(
    features: int = 5, thresholds: int = 3, luts: tuple[int, ...] = (12, 7), arity: int = 4, outputs: int = 6,
    entry_width: int = 8, seed: int = 0,
) -> LutNetSpec:  # fmt: skip
    rng = np.random.default_rng(seed)
    layers, bits = [], features * thresholds
    for count in luts:
        layers.append(random_layer(bits, count, arity, rng))
        bits = count
    limit = 1 << (entry_width - 1)
    return LutNetSpec(
        np.sort(rng.integers(-128, 128, (features, thresholds)), -1), tuple(layers),
        rng.integers(-limit, limit, (bits, outputs)), entry_width, 0.02, 1e-3,
    )  # fmt: skip


def corner_codes(features: int, rng: np.random.Generator) -> np.ndarray:
    """Codes int8 [M, features]: ends, zeros, and many at random."""
    ends = [np.full(features, value) for value in (-128, -127, -1, 0, 1, 126, 127)]
    alternating = np.where(np.arange(features) % 2, 127, -128)
    return np.concatenate([np.stack([*ends, alternating]), rng.integers(-128, 128, (60, features))]).astype(np.int8)
