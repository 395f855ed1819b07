"""Convolutions of any geometry on any cell against the sum over table entries that defines them."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from slipstick.model.convert import approximate_
from slipstick.model.layers.config import QuantConfig
from slipstick.model.layers.convolution import ApproxConv2d
from slipstick.rtl.cells import cell, names
from tests.model.conversion.reference import quantised_reference

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


GEOMETRIES = [
    {}, {"stride": 2}, {"padding": 2}, {"dilation": 2}, {"stride": (1, 2), "padding": (2, 0)},
    {"padding": "same"}, {"padding": "valid"}, {"padding": "same", "dilation": (2, 1)},
]  # fmt: skip


@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("geometry", GEOMETRIES)
@torch.no_grad()
def test_convolutions_of_every_geometry_equal_a_float64_convolution_of_codes(groups: int, geometry: dict) -> None:
    torch.manual_seed(2)
    model = nn.Sequential(nn.Conv2d(6, 12, (3, 2), groups=groups, **geometry))
    twin = copy.deepcopy(model)
    data = torch.randn(40, 6, 13, 11)
    approximate_(model, {}, [data])
    assert isinstance(model[0], ApproxConv2d)
    wanted = quantised_reference(twin, model, data)
    torch.testing.assert_close(model(data), wanted)
    torch.testing.assert_close(model(data[0]), wanted[0])
    with torch.enable_grad():  # the unfolded float image gives the same codes
        torch.testing.assert_close(model(data).detach(), wanted)


@pytest.mark.parametrize("name", ["truncated8s_k7", "drum8s_k4", "mitchell8s"])
@torch.no_grad()
def test_grouped_convolutions_take_the_cells_products_group_by_group(name: str) -> None:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Conv2d(4, 6, 3, groups=2, padding=1))
    approximate_(model, {"0": name}, [torch.randn(40, 4, 5, 5)])
    layer = model[0]
    rows = torch.randint(-128, 128, (2, 7, 36), dtype=torch.int8)
    table = torch.from_numpy(cell(name).table).long()
    own = rows.view(torch.uint8).long().view(2, 7, 2, 18, 1)
    weights = layer.weight_codes.view(torch.uint8).long()
    sums = table[own, weights].sum(3).flatten(2) + layer.bias_codes()
    assert torch.equal(layer.accumulate(rows), sums.int())


@torch.no_grad()
def test_compensation_of_a_depthwise_convolution_takes_out_the_mean_error() -> None:
    torch.manual_seed(4)
    model = nn.Sequential(nn.Conv2d(5, 10, 3, groups=5))
    data = torch.randn(300, 5, 8, 8)
    twin = copy.deepcopy(model)
    approximate_(model, {"default": "truncated8s_k7"}, [data])
    error = (model(data) - quantised_reference(twin, model, data)) / model[0].product_scale().view(-1, 1, 1)
    assert error.mean((0, 2, 3)).abs().max() < 1.01
    assert np.abs(model[0].error_moments(model[0].grid)[0]).min() > 100
