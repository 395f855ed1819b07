"""The compiled kernels as torch operators, with shapes for ``torch.compile``: CPU, int8 codes, int32 sums.

Threads are torch's own number. Letters: B matrices, M rows, K reduction, N columns, r rank.
"""

import torch
from torch import Tensor

from .native import Native, native

LINE = 64  # bytes of a cache line, on which packed weights start


class NotFinite(ValueError):
    """NaN or Inf among values that become whole numbers."""


def available(device: torch.device) -> bool:
    """Whether the compiled kernels serve this device."""
    return device.type == "cpu" and native() is not None


def compiled() -> Native:
    """The library, for callers that found it available."""
    found = native()
    assert found is not None, "callers ask available() first"
    return found


def _words(depth: int, channels: int, rank: int) -> int:
    return compiled().library.slipstick_packed_words(depth, channels, rank)


@torch.library.custom_op("slipstick::factor_pack", mutates_args=())
def factor_pack(weights: Tensor, right: Tensor) -> Tensor:
    """Weights int8 [B, K, N] through right int16 [256, r], packed for ``factor_gemm``: int32 [B, words]."""
    (batch, depth, channels), rank = weights.shape, right.shape[1]
    words = _words(depth, channels, rank)
    raw = torch.empty(batch * words + LINE // 4, dtype=torch.int32)
    start = -raw.data_ptr() % LINE // 4
    packed = raw[start : start + batch * words].view(batch, words)
    weights = weights.contiguous()
    compiled().library.slipstick_factor_pack(
        weights.data_ptr(), right.data_ptr(), packed.data_ptr(), batch, depth, channels, rank, torch.get_num_threads()
    )
    return packed


@factor_pack.register_fake
def _(weights: Tensor, right: Tensor) -> Tensor:
    (batch, depth, channels), rank = weights.shape, right.shape[1]
    return weights.new_empty(batch, _words(depth, channels, rank), dtype=torch.int32)


@torch.library.custom_op("slipstick::factor_gemm", mutates_args=())
def factor_gemm(codes: Tensor, left: Tensor, packed: Tensor, channels: int) -> Tensor:
    """Codes int8 [B, M, K] through left int16 [256, r], times weights packed [B or 1, words]: int32 [B, M, N]."""
    (batch, rows, depth), rank = codes.shape, left.shape[1]
    codes = codes.contiguous()
    sums = torch.empty(batch, rows, channels, dtype=torch.int32)
    compiled().library.slipstick_factor_gemm(
        codes.data_ptr(), left.data_ptr(), packed.data_ptr(), sums.data_ptr(),
        batch, rows, depth, channels, rank, int(len(packed) == 1), torch.get_num_threads(),
    )  # fmt: skip
    return sums


@factor_gemm.register_fake
def _(codes: Tensor, left: Tensor, packed: Tensor, channels: int) -> Tensor:
    return codes.new_empty(*codes.shape[:-1], channels, dtype=torch.int32)


@torch.library.custom_op("slipstick::table_gemm", mutates_args=())
def table_gemm(codes: Tensor, weights: Tensor, entries: Tensor, index: Tensor, bias: int, group: int) -> Tensor:
    """Sums of ``entries[w, index[a]] - bias`` for codes int8 [B, M, K], weights int8 [B or 1, K, N]: int32 [B, M, N].

    ``entries`` uint16 [256, rows], ``index`` uint8 [256], ``group`` as in ``gemm.cpp``.
    """
    (batch, rows, depth), channels = codes.shape, weights.shape[2]
    codes, weights = codes.contiguous(), weights.contiguous()
    sums = torch.empty(batch, rows, channels, dtype=torch.int32)
    compiled().library.slipstick_table_gemm(
        codes.data_ptr(), weights.data_ptr(), entries.data_ptr(), index.data_ptr(), entries.shape[1], bias, group,
        sums.data_ptr(), batch, rows, depth, channels, int(len(weights) == 1), torch.get_num_threads(),
    )  # fmt: skip
    return sums


@table_gemm.register_fake
def _(codes: Tensor, weights: Tensor, entries: Tensor, index: Tensor, bias: int, group: int) -> Tensor:
    return codes.new_empty(*codes.shape[:-1], weights.shape[2], dtype=torch.int32)


@torch.library.custom_op("slipstick::quantise", mutates_args=())
def quantise(values: Tensor, scale: Tensor, low: int, high: int) -> Tensor:
    """``clamp(round_half_even(values / scale), low, high)`` of float32 of any shape, one scale: int8.

    Raises NotFinite for NaN and Inf.
    """
    values = values.contiguous()
    codes = torch.empty(values.shape, dtype=torch.int8)
    finite = compiled().library.slipstick_quantise(
        values.data_ptr(), float(scale), low, high, codes.data_ptr(), values.numel(), torch.get_num_threads()
    )
    if not finite:
        raise NotFinite("a value to be quantised is NaN or Inf")
    return codes


@quantise.register_fake
def _(values: Tensor, scale: Tensor, low: int, high: int) -> Tensor:
    return torch.empty(values.shape, dtype=torch.int8, device=values.device)


@torch.library.custom_op("slipstick::requantise", mutates_args=())
def requantise(sums: Tensor, factor: Tensor, zero: int, low: int, high: int) -> Tensor:
    """``clamp(floor(sums * factor + 1/2) + zero, low, high)``: int32 [..., N], float64 [N] -> int8 [..., N]."""
    sums = sums.contiguous()
    codes = torch.empty(sums.shape, dtype=torch.int8)
    channels = len(factor)
    compiled().library.slipstick_requantise(
        sums.data_ptr(), factor.data_ptr(), zero, low, high, codes.data_ptr(),
        sums.numel() // channels, channels, torch.get_num_threads(),
    )  # fmt: skip
    return codes


@requantise.register_fake
def _(sums: Tensor, factor: Tensor, zero: int, low: int, high: int) -> Tensor:
    return torch.empty(sums.shape, dtype=torch.int8, device=sums.device)


@torch.library.custom_op("slipstick::scale", mutates_args=())
def scale(sums: Tensor, bias: Tensor, unit: Tensor) -> Tensor:
    """``(sums + bias) * unit``: int32 [..., N], int32 [N], float32 [N] -> float32 [..., N]."""
    sums = sums.contiguous()
    values = torch.empty(sums.shape, dtype=torch.float32)
    compiled().library.slipstick_scale(
        sums.data_ptr(), bias.data_ptr(), unit.data_ptr(), values.data_ptr(),
        sums.numel() // len(bias), len(bias), torch.get_num_threads(),
    )  # fmt: skip
    return values


@scale.register_fake
def _(sums: Tensor, bias: Tensor, unit: Tensor) -> Tensor:
    return torch.empty(sums.shape, dtype=torch.float32, device=sums.device)
