"""What a model asks of the array: shapes and MACs of its products, and the operands they really saw."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from slipstick.rtl.spec.fixed import Requant
from slipstick.rtl.spec.streams import TileStream

from .convert import table_layers
from .layers import ApproxMatmul, WeightLayer
from .table_layer import TableLayer

SHORT = 16  # rows an image below which activity is measured over several images


@dataclass(frozen=True)
class LayerShape:
    """``repeats`` products of [M, K] by [K, N] for every image."""

    kind: str
    rows: int
    depth: int
    channels: int
    repeats: int

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        return self.rows * self.depth * self.channels * self.repeats


def workload(model: nn.Module) -> dict[str, LayerShape]:
    """Shapes of every converted layer of a calibrated model, by layer name."""
    shapes = {}
    for name, layer in table_layers(model).items():
        if isinstance(layer, ApproxMatmul):
            shapes[name] = LayerShape("matmul", layer.rows_per_image, layer.depth, layer.channels, layer.heads)
        else:
            assert isinstance(layer, WeightLayer)
            depth, channels = layer.weight_codes.shape
            shapes[name] = LayerShape(type(layer).__name__, layer.rows_per_image, depth, channels, 1)
    return shapes


@dataclass(frozen=True)
class Recording:
    """One layer's product on one batch, as integers.

    ``activations`` int8 [P, M, K], ``stationary`` int8 [P or 1, K, N] (weights, or the second
    activation), ``bias`` int32 [N], ``accumulators`` int32 [P, M, N] and ``outputs`` int8 [P, M, N]; P
    counts images, or images times heads.
    """

    layer: str
    activations: np.ndarray
    stationary: np.ndarray
    bias: np.ndarray
    requant: Requant
    accumulators: np.ndarray
    outputs: np.ndarray


def _recording(name: str, layer: TableLayer, codes: Tensor, stationary: Tensor, total: Tensor) -> Recording:
    channels = stationary.shape[-1]
    outputs = layer.output_codes(total)
    if isinstance(layer, WeightLayer):
        bias = layer.bias_codes()
    else:
        assert isinstance(layer, ApproxMatmul)
        bias = torch.full((channels,), layer.bias_code(), dtype=torch.int32)
    requant = layer.requant()
    if len(requant.multiplier) != channels:
        requant = Requant(np.repeat(requant.multiplier, channels), np.repeat(requant.shift, channels))
    codes = codes if codes.ndim > 2 else codes[:, None]  # a head sees one row an image
    total, outputs = (part.reshape(*codes.shape[:-1], channels) for part in (total, outputs))
    return Recording(
        name,
        codes.flatten(0, -3).cpu().numpy(),
        (stationary if stationary.ndim > 2 else stationary[None]).flatten(0, -3).cpu().numpy(),
        bias.cpu().numpy(),
        requant,
        total.flatten(0, -3).cpu().numpy(),
        outputs.flatten(0, -3).cpu().numpy(),
    )


@contextmanager
def _recorders(model: nn.Module, into: dict[str, Recording]) -> Iterator[None]:
    def keep(name: str, layer: TableLayer, codes: Tensor, stationary: Tensor, total: Tensor) -> None:
        into[name] = _recording(name, layer, codes, stationary, total)

    layers = table_layers(model).values()
    for layer in layers:
        layer.recorder = keep
    try:
        yield
    finally:
        for layer in layers:
            layer.recorder = None


def record(model: nn.Module, images: Tensor) -> dict[str, Recording]:
    """Run float images [B, ...] through a calibrated model and keep every product it makes."""
    recordings: dict[str, Recording] = {}
    with torch.no_grad(), _recorders(model, recordings):
        model.eval()(images)
    return recordings


def tile_streams(
    recording: Recording, *, rows: int, columns: int, count: int, rng: np.random.Generator
) -> list[TileStream]:
    """``count`` random weight tiles of a recorded product with the activation rows that stream past.

    Tiles at the edge of a layer are padded with zeros, as the array pads them.
    """
    every = recording.activations
    if len(recording.stationary) == 1 and every.shape[1] < SHORT:  # such as a head: rows of several images in a row
        every = every.reshape(1, -1, every.shape[2])
    products, length, depth = every.shape
    channels = recording.stationary.shape[-1]
    streams = []
    for _ in range(count):
        product = int(rng.integers(products))
        k = rows * int(rng.integers(-(-depth // rows)))
        n = columns * int(rng.integers(-(-channels // columns)))
        activations, weights = np.zeros((length, rows), np.int8), np.zeros((rows, columns), np.int8)
        activations[:, : min(rows, depth - k)] = every[product, :, k : k + rows]
        block = recording.stationary[product % len(recording.stationary), k : k + rows, n : n + columns]
        weights[: block.shape[0], : block.shape[1]] = block
        streams.append(TileStream(recording.layer, activations, weights))
    return streams
