"""Convolutions of any geometry on any cell against the sum over table entries that defines them."""

import numpy as np
import pytest
import torch
from torch import nn

from slipstick.model.layers.config import QuantConfig
from slipstick.model.layers.convolution import ApproxConv2d
from slipstick.rtl.cells import cell, names

SIGNED = names("*8s*")
CASES = 2000


def defined(codes: np.ndarray, weights: np.ndarray, table: np.ndarray, geometry: dict) -> np.ndarray:
    """Accumulators int64 [B, N, H, W] of codes int8 [B, C, H, W] and weights int8 [N, C / G, kh, kw]."""
    (down, right), (rows, columns), (tall, wide) = (geometry[key] for key in ("stride", "dilation", "padding"))
    padded = np.pad(codes, ((0, 0), (0, 0), (tall, tall), (wide, wide)))
    kernel = weights.shape[2:]
    height, width = (
        (side - step * (size - 1) - 1) // stride + 1
        for side, step, size, stride in zip(padded.shape[2:], (rows, columns), kernel, (down, right), strict=True)
    )
    groups, share = geometry["groups"], weights.shape[1]
    total = np.zeros((len(codes), len(weights), height, width), np.int64)
    for n, (c, i, j) in ((n, place) for n in range(len(weights)) for place in np.ndindex(share, *kernel)):
        channel = n // (len(weights) // groups) * share + c
        rows_of = slice(i * rows, i * rows + (height - 1) * down + 1, down)
        columns_of = slice(j * columns, j * columns + (width - 1) * right + 1, right)
        seen = padded[:, channel, rows_of, columns_of].view(np.uint8)
        total[:, n] += table[seen, weights[n, c, i, j].view(np.uint8)]
    return total


@pytest.mark.slow
@torch.no_grad()
def test_two_thousand_random_convolutions_equal_their_definition() -> None:
    rng = np.random.default_rng(20261125)
    for case in range(CASES):
        name = SIGNED[int(rng.integers(len(SIGNED)))]
        groups, share, outputs = (int(rng.integers(1, 4)) for _ in range(3))
        kernel = tuple(int(rng.integers(1, 4)) for _ in range(2))
        pairs = {"stride": (1, 4), "dilation": (1, 3), "padding": (0, 3)}
        geometry = {key: tuple(int(rng.integers(*limits)) for _ in range(2)) for key, limits in pairs.items()}
        geometry["groups"] = groups
        images = torch.from_numpy(rng.normal(0, 1, (2, groups * share, 7, 8)).astype(np.float32))
        weight = torch.from_numpy(rng.normal(0, 1, (groups * outputs, share, *kernel)).astype(np.float32))
        plain = nn.Conv2d(groups * share, groups * outputs, kernel, bias=False, **geometry)
        plain.weight = nn.Parameter(weight)
        layer = ApproxConv2d.take_over_(plain)
        layer.observing = True
        layer(images)
        layer.calibrated(QuantConfig("minmax"))
        layer.set_cells(((cell(name),),))
        got = layer(images) / layer.product_scale().view(-1, 1, 1)
        weights = layer.weight_codes if groups > 1 else layer.weight_codes[None]
        weights = weights.mT.reshape(len(weight), share, *kernel).numpy()
        wanted = defined(layer.quantise_input(images).numpy(), weights, cell(name).table.astype(np.int64), geometry)
        assert got.shape == wanted.shape, (case, geometry)
        np.testing.assert_allclose(got, wanted, rtol=1e-6, err_msg=f"case {case}, {name}, {geometry}")
