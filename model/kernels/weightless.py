"""The compiled kernels of look-up tables, thermometers and conditional sums as torch operators: CPU, float32.

Letters: B bits, M tokens, N tables, D features, T thresholds of a feature.
"""

import torch
from torch import Tensor

from .ops import compiled


def _checked(index: Tensor, rows: int) -> Tensor:
    """``index``, whose entries are rows below ``rows``: memory outside is not read. IndexError for any other."""
    if index.numel():
        low, high = index.aminmax()
        if low < 0 or high >= rows:
            raise IndexError(f"inputs of tables are rows {int(low)} to {int(high)} of {rows}")
    return index.contiguous()


def _check_rows(wanted: int, given: int, of: str, name: str) -> None:
    """ValueError where memory outside would be read."""
    if wanted != given:
        raise ValueError(f"{wanted} {of} need as many {name}, not {given}")


@torch.library.custom_op("slipstick::look_up", mutates_args=())
def look_up(codes: Tensor, index: Tensor, tables: Tensor) -> tuple[Tensor, Tensor]:
    """Bits uint8 [B, M] by rows int64 [N * n] and tables float [N, 2^n]: addresses and outputs, uint8 [N, M]."""
    (bits, tokens), (count, size) = codes.shape, tables.shape
    codes, index, tables = codes.contiguous(), _checked(index, bits), tables.contiguous()
    address, fired = codes.new_empty(count, tokens), codes.new_empty(count, tokens)
    compiled().library.slipstick_look_up(
        codes.data_ptr(), index.data_ptr(), tables.data_ptr(), size.bit_length() - 1, count, tokens,
        address.data_ptr(), fired.data_ptr(), torch.get_num_threads(),
    )  # fmt: skip
    return address, fired


@look_up.register_fake
def _(codes: Tensor, index: Tensor, tables: Tensor) -> tuple[Tensor, Tensor]:
    return codes.new_empty(len(tables), codes.shape[1]), codes.new_empty(len(tables), codes.shape[1])


@torch.library.custom_op("slipstick::look_up_gradients", mutates_args=())
def look_up_gradients(
    address: Tensor, index: Tensor, tables: Tensor, gradient: Tensor, bits: int, flip: float
) -> tuple[Tensor, Tensor]:
    """Gradients of bits [B, M] and of tables [N, 2^n] from those of outputs [N, M]; the rest as ``look_up`` had it."""
    (count, tokens), size = address.shape, tables.shape[1]
    index, tables, gradient = _checked(index, bits), tables.contiguous(), gradient.contiguous()
    to_bits, to_tables = gradient.new_empty(bits, tokens), torch.empty_like(tables)
    compiled().library.slipstick_look_up_gradients(
        address.data_ptr(), index.data_ptr(), tables.data_ptr(), gradient.data_ptr(), flip, size.bit_length() - 1,
        count, bits, tokens, to_tables.data_ptr(), to_bits.data_ptr(), torch.get_num_threads(),
    )  # fmt: skip
    return to_bits, to_tables


@look_up_gradients.register_fake
def _(
    address: Tensor, index: Tensor, tables: Tensor, gradient: Tensor, bits: int, flip: float
) -> tuple[Tensor, Tensor]:
    return gradient.new_empty(bits, address.shape[1]), torch.empty_like(tables)


@torch.library.custom_op("slipstick::compare", mutates_args=())
def compare(codes: Tensor, limits: Tensor) -> Tensor:
    """Codes int16 [D, M] above limits int16 [D, T]: uint8 [D * T, M]."""
    (features, tokens), thresholds = codes.shape, limits.shape[1]
    codes, limits = codes.contiguous(), limits.contiguous()
    bits = torch.empty(features * thresholds, tokens, dtype=torch.uint8)
    compiled().library.slipstick_compare(
        codes.data_ptr(), limits.data_ptr(), bits.data_ptr(), features, thresholds, tokens, torch.get_num_threads()
    )
    return bits


@compare.register_fake
def _(codes: Tensor, limits: Tensor) -> Tensor:
    return codes.new_empty(limits.numel(), codes.shape[1], dtype=torch.uint8)


@torch.library.custom_op("slipstick::window", mutates_args=())
def window(codes: Tensor, gradient: Tensor, low: Tensor, high: Tensor, factor: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of codes [D, M] and of thresholds [D, T] from those of bits float [D * T, M].

    Those count whose code int16 [D, M] lies between ``low`` and ``high`` int16 [D, T], times ``factor`` float [D].
    """
    (features, tokens), thresholds = codes.shape, low.shape[1]
    codes, gradient, low, high, factor = (part.contiguous() for part in (codes, gradient, low, high, factor))
    to_codes, to_thresholds = gradient.new_empty(features, tokens), gradient.new_empty(features, thresholds)
    compiled().library.slipstick_window(
        codes.data_ptr(), gradient.data_ptr(), low.data_ptr(), high.data_ptr(), factor.data_ptr(),
        to_codes.data_ptr(), to_thresholds.data_ptr(), features, thresholds, tokens, torch.get_num_threads(),
    )  # fmt: skip
    return to_codes, to_thresholds


@window.register_fake
def _(codes: Tensor, gradient: Tensor, low: Tensor, high: Tensor, factor: Tensor) -> tuple[Tensor, Tensor]:
    return gradient.new_empty(codes.shape), gradient.new_empty(low.shape)


@torch.library.custom_op("slipstick::conditional_sum", mutates_args=())
def conditional_sum(bits: Tensor, codes: Tensor) -> Tensor:
    """Codes int32 [N, D] summed where bits uint8 [N, M] of 0 and 1 are 1: int32 [M, D].

    Sums must fit: those of codes of b bits do up to N = 2^(32 - b). ValueError for other numbers of rows.
    """
    (count, tokens), width = bits.shape, codes.shape[1]
    _check_rows(count, len(codes), "bits", "codes")
    bits, codes = bits.contiguous(), codes.contiguous()
    sums = codes.new_empty(tokens, width)
    compiled().library.slipstick_conditional_sum(
        bits.data_ptr(), codes.data_ptr(), count, tokens, width, sums.data_ptr(), torch.get_num_threads()
    )
    return sums


@conditional_sum.register_fake
def _(bits: Tensor, codes: Tensor) -> Tensor:
    return codes.new_empty(bits.shape[1], codes.shape[1])


@torch.library.custom_op("slipstick::conditional_gradients", mutates_args=())
def conditional_gradients(bits: Tensor, codes: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of bits [N, M] and of codes float [N, D] from those of sums [M, D]; the rest as in the sum."""
    (count, tokens), width = bits.shape, codes.shape[1]
    _check_rows(count, len(codes), "bits", "codes")
    _check_rows(tokens * width, gradient.numel(), "sums", "gradients")
    bits, codes, gradient = bits.contiguous(), codes.contiguous(), gradient.contiguous()
    to_bits, to_codes = gradient.new_empty(count, tokens), torch.empty_like(codes)
    compiled().library.slipstick_conditional_gradients(
        bits.data_ptr(), codes.data_ptr(), gradient.data_ptr(), count, tokens, width, to_bits.data_ptr(),
        to_codes.data_ptr(), torch.get_num_threads(),
    )  # fmt: skip
    return to_bits, to_codes


@conditional_gradients.register_fake
def _(bits: Tensor, codes: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    return gradient.new_empty(bits.shape), torch.empty_like(codes)
