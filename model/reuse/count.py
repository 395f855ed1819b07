"""Weights and multiply-accumulates of an encoder, with and without attention of its own."""

from dataclasses import dataclass

from .config import Transform


@dataclass(frozen=True)
class EncoderCount:
    """Of one encoder: ``weights`` in matrices, ``others`` in biases and norms, ``macs`` for one image."""

    weights: int
    others: int
    macs: int


def whole_encoder(tokens: int, dim: int, hidden: int) -> EncoderCount:
    """An encoder of ``tokens`` x ``dim`` with biases everywhere and an MLP of ``hidden``."""
    weights = 4 * dim**2 + 2 * dim * hidden
    return EncoderCount(weights, 3 * dim + dim + hidden + dim + 4 * dim, tokens * weights + 2 * tokens**2 * dim)


def reuse_encoder(tokens: int, dim: int, hidden: int, transform: Transform = "full") -> EncoderCount:
    """An encoder that reuses attention: 3 d^2 weights and 2 t^2 d products fewer, d^2 of the transformation more."""
    own = 0 if transform == "identity" else 1
    weights = (1 + own) * dim**2 + 2 * dim * hidden
    return EncoderCount(weights, dim + hidden + dim + 2 * dim + own * 3 * dim, tokens * weights)
