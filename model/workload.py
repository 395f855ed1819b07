"""What a model asks of the array: shapes and MACs of its products, and the operands they really saw."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from slipstick.errors import UserError
from slipstick.rtl.spec.cycles import Shape
from slipstick.rtl.spec.fixed import Requant
from slipstick.rtl.spec.streams import TileStream

from .conversion.batch import Batch, forward
from .conversion.state import evaluating
from .convert import table_layers
from .layers.convolution import ApproxConv2d
from .layers.matmul import ApproxMatmul
from .layers.table_layer import TableLayer
from .layers.weights import WeightLayer

SHORT = 16  # rows an image below which activity is measured over several images


@dataclass(frozen=True)
class LayerShape(Shape):
    """What a layer of some ``kind`` multiplies for every image."""

    kind: str = "linear"


def workload(model: nn.Module) -> dict[str, LayerShape]:
    """Shapes of every converted layer of a calibrated model, by layer name."""
    shapes = {}
    for name, layer in table_layers(model).items():
        if isinstance(layer, ApproxMatmul):
            shapes[name] = _product_shape(name, layer)
        else:
            assert isinstance(layer, WeightLayer)
            depth, channels = layer.weight_codes.shape[-2:]
            kind = "conv2d" if isinstance(layer, ApproxConv2d) else "linear"
            shapes[name] = LayerShape(layer.rows_per_image, depth, channels, layer.groups, kind)
    return shapes


def _product_shape(name: str, layer: ApproxMatmul) -> LayerShape:
    if len(layer.products) > 1:
        sizes = ", ".join(f"[{m}, {k}] by [{k}, {n}]" for m, k, n in layer.products)
        raise UserError(
            f"layer {name!r} makes products of several shapes in one run ({sizes}); its work has no one shape"
        )
    ((rows, depth, channels), count) = next(iter(layer.products.items()))
    return LayerShape(rows, depth, channels, -(-count // layer.sample.images), "matmul")


@dataclass(frozen=True)
class Recording:
    """One layer's product on one batch, as integers.

    ``activations`` int8 [P, M, K], ``stationary`` int8 [S, K, N] (weights, or the second activation),
    ``bias`` int32 [S or 1, N], ``requant`` of as many rows, ``accumulators`` int32 [P, M, N] and
    ``outputs`` int8 [P, M, N]. P counts images, times heads or groups; product p uses row p modulo S.
    A layer that ran several times shows its last run.
    """

    layer: str
    activations: np.ndarray
    stationary: np.ndarray
    bias: np.ndarray
    requant: Requant
    accumulators: np.ndarray
    outputs: np.ndarray

    def bias_of(self, product: int) -> np.ndarray:
        """Bias int32 [N] of one product."""
        return self.bias[product % len(self.bias)]

    def requant_of(self, product: int) -> Requant:
        """Requantiser of one product, [N]."""
        row = product % len(self.requant.multiplier)
        return replace(self.requant, multiplier=self.requant.multiplier[row], shift=self.requant.shift[row])


def _recording(name: str, layer: TableLayer, codes: Tensor, stationary: Tensor, total: Tensor) -> Recording:
    outputs, requant, rows = layer.output_codes(total), layer.requant(), 1
    channels = stationary.shape[-1]
    codes = codes if codes.ndim > 2 else codes[:, None]  # a head sees one row an image
    total, outputs = (part.reshape(*codes.shape[:-1], -1) for part in (total, outputs))
    if isinstance(layer, WeightLayer):
        bias = layer.bias_codes()
        if layer.groups > 1:
            codes, total, outputs = (layer.split(part) for part in (codes, total, outputs))
            rows = layer.groups
    else:
        assert isinstance(layer, ApproxMatmul)
        bias = layer.bias_code(codes.shape[-1])
        bias = bias.expand(*bias.shape[:-1], channels)  # a row a head, if they differ
        rows = bias.numel() // channels
        lead = total.shape[:-2]
        codes, stationary = (part.expand(*lead, -1, -1) for part in (codes, stationary))
    repeats = rows * channels // len(requant.multiplier)
    if repeats > 1:
        requant = replace(requant, multiplier=requant.multiplier.repeat(repeats), shift=requant.shift.repeat(repeats))
    return Recording(
        name,
        codes.flatten(0, -3).cpu().numpy(),
        (stationary if stationary.ndim > 2 else stationary[None]).flatten(0, -3).cpu().numpy(),
        bias.reshape(rows, -1).cpu().numpy(),
        replace(requant, multiplier=requant.multiplier.reshape(rows, -1), shift=requant.shift.reshape(rows, -1)),
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


def record(model: nn.Module, images: Batch) -> dict[str, Recording]:
    """Run inputs [B, ...] through a calibrated model and keep every product it makes."""
    recordings: dict[str, Recording] = {}
    with torch.no_grad(), evaluating(model), _recorders(model, recordings):
        forward(model, images)
    return recordings


def tile_streams(
    recording: Recording, *, rows: int, columns: int, count: int, rng: np.random.Generator, longest: int = 256
) -> list[TileStream]:
    """``count`` random weight tiles of a recorded product with the activation rows that stream past, up to ``longest``.

    Tiles at the edge of a layer are padded with zeros, as the array pads them.
    """
    every = recording.activations
    if len(recording.stationary) == 1 and every.shape[1] < SHORT:  # such as a head: rows of several images in a row
        every = every.reshape(1, -1, every.shape[2])
    products, length, depth = every.shape
    tiles, channels = -(-depth // rows), recording.stationary.shape[-1]
    streams = []
    for _ in range(count):
        product = int(rng.integers(products))
        tile, n = int(rng.integers(tiles)), columns * int(rng.integers(-(-channels // columns)))
        first = longest * int(rng.integers(-(-length // longest)))
        held = recording.stationary[product % len(recording.stationary)]
        activations = _padded(every[product, first : first + longest], (min(longest, length - first), tiles * rows))
        weights = _padded(held[:, n : n + columns], (tiles * rows, columns))
        bias = np.zeros(columns, np.int64)
        own = recording.bias_of(product)[n : n + columns]
        bias[: len(own)] = own
        now, following = slice(tile * rows, tile * rows + rows), (tile + 1) % tiles * rows
        requant = _channels(recording.requant_of(product), n, columns)
        before = activations[:, : now.start], weights[: now.start], bias
        after = weights[following : following + rows], requant
        streams.append(TileStream(recording.layer, activations[:, now], weights[now], *before, *after))
    return streams


def _channels(requant: Requant, first: int, columns: int) -> Requant:
    """The requantiser of some channels; columns without one get the first channel's."""
    places = np.arange(first, first + columns)
    places[places >= len(requant.multiplier)] = first
    return replace(requant, multiplier=requant.multiplier[places], shift=requant.shift[places])


def _padded(codes: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    whole = np.zeros(shape, np.int8)
    whole[: codes.shape[0], : codes.shape[1]] = codes
    return whole
