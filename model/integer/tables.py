"""The piecewise linear tables of an integer ViT, fitted to the codes that occur."""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from timm.layers import activations
from torch import Tensor, nn

from slipstick.errors import UserError
from slipstick.rtl.spec.pwl import PwlFormat, PwlTable
from slipstick.rtl.spec.widths import signed_range

from ..layers.ranges import OperandRange
from ..pwl.functions import (
    EXP,
    GELU,
    GELU_TANH,
    HSWISH,
    QUICK_GELU,
    RECIPROCAL,
    RELU,
    RELU6,
    RSQRT,
    SIGMOID,
    SILU,
    TANH,
    Function,
)
from ..pwl.optimal import fit
from .config import IntegerConfig
from .observe import REACH, centres

CODES = 255  # steps of int8
UNSEEN = 0.1  # weight of an input that calibration never saw, over the mean of all: others will come
ACTIVATIONS: dict[type[nn.Module], Function] = {
    activations.GELU: GELU, activations.GELUTanh: GELU_TANH, activations.QuickGELU: QUICK_GELU, nn.ReLU: RELU,
    nn.ReLU6: RELU6, nn.SiLU: SILU, activations.Swish: SILU, nn.Hardswish: HSWISH, nn.Sigmoid: SIGMOID, nn.Tanh: TANH,
}  # fmt: skip
WIDE = 2  # bits that softmax's and LayerNorm's coefficients need beyond those of activation functions


@lru_cache(maxsize=64)
def softmax_tables(config: IntegerConfig) -> tuple[PwlTable, PwlTable]:
    """Exponential of codes up to 0, and reciprocal of mantissas [1, 2)."""
    low = -(1 << (config.exponential_width - 1))
    exponential = fit(
        EXP, config.entries, config.exponential_fraction, _wide(config.format),
        input_width=config.exponential_width, low=low, high=0,
    )  # fmt: skip
    one = 1 << config.mantissa_fraction
    reciprocal = fit(
        RECIPROCAL, config.entries, config.mantissa_fraction, _wide(config.format),
        input_width=config.mantissa_fraction + 2, low=one, high=2 * one - 1,
    )  # fmt: skip
    return exponential, reciprocal


@lru_cache(maxsize=64)
def root_table(config: IntegerConfig) -> PwlTable:
    """Reciprocal square root of mantissas [1, 4)."""
    one = 1 << config.mantissa_fraction
    return fit(
        RSQRT, config.entries, config.mantissa_fraction, _wide(config.format),
        input_width=config.mantissa_fraction + 3, low=one, high=4 * one - 1,
    )  # fmt: skip


def _wide(form: PwlFormat) -> PwlFormat:
    return PwlFormat(form.slope_width + WIDE, form.intercept_width + WIDE, form.fraction + WIDE)


def activation_table(
    function: Function, counts: Tensor, config: IntegerConfig, low: float = -math.inf, high: float = math.inf
) -> PwlTable:
    """The table of an activation function for the input scale that errs least on recorded inputs.

    ``counts`` float64 [observe.BINS]. Of the function's values the next layer holds those from ``low`` to ``high``. Of
    the scales that clip no input by which one of these would move by half a code, however rare, that is taken whose
    rounding does least to them, or the widest where none is so wide; the segments follow the codes that then occur.
    """
    values, weights = _seen(counts)
    wanted = np.clip(function(values), low, high)

    def clipping(fraction: int) -> float:
        found = np.clip(function(_clipped(values, fraction, width)), low, high)
        return float(np.abs(found - wanted).max())

    def error(fraction: int) -> float:
        found = np.clip(function(_codes(values, fraction, width) * 2.0**-fraction), low, high)
        return float(weights @ (found - wanted) ** 2)

    width = config.activation_width
    fractions = range(width - 1 - REACH, width)
    wide = [one for one in fractions if clipping(one) <= (high - low) / CODES / 2]
    fraction = min(wide or fractions[:1], key=error)
    occurring = np.bincount(_codes(values, fraction, width) - signed_range(width)[0], weights, minlength=1 << width)
    occurring += UNSEEN * occurring.mean()
    return fit(function, config.entries, fraction, config.format, width, weights=occurring)


def input_range(function: Function, counts: Tensor, furthest: float, table: PwlTable) -> OperandRange:
    """What the input codes of a function's table clip of its recorded inputs; energy is that of its values."""
    values, weights = _seen(counts)
    fraction = table.input_fraction
    clipped = _clipped(values, fraction, table.input_width)
    wanted, share = function(values), weights / weights.sum()
    lost = float(share @ (function(clipped) - wanted) ** 2)
    codes = _codes(values, fraction, table.input_width)
    rounding = float(share @ (function(codes * 2.0**-fraction) - function(clipped)) ** 2)
    range_ = -table.input_range[0] * 2.0**-fraction
    return OperandRange(
        f"input of {function.name}", range_, f"scale 2^-{fraction}", furthest, max(1.0, furthest / range_),
        float(share @ (clipped != values)), lost / (float(share @ wanted**2) or 1.0), lost > rounding,
    )  # fmt: skip


def _seen(counts: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Values that occur, and how often."""
    weights = counts.numpy()
    seen = weights > 0
    return centres().numpy()[seen], weights[seen]


def _clipped(values: np.ndarray, fraction: int, width: int) -> np.ndarray:
    low, high = signed_range(width)
    return np.clip(values, low * 2.0**-fraction, high * 2.0**-fraction)


def _codes(values: np.ndarray, fraction: int, width: int) -> np.ndarray:
    return np.clip(np.rint(np.ldexp(values, fraction)), *signed_range(width)).astype(np.int64)


def activation_function(module: nn.Module) -> tuple[Function, Callable[[Tensor], Tensor]]:
    """The function of an activation module, for NumPy and for torch. Raises UserError for an unknown one."""
    if isinstance(module, nn.GELU):
        return (GELU if module.approximate == "none" else GELU_TANH), module.forward
    for kind, function in ACTIVATIONS.items():
        if isinstance(module, kind):
            return function, module.forward
    known: list[type[nn.Module]] = [nn.GELU, *ACTIVATIONS]
    raise UserError(
        f"integer-only: no piecewise linear form of {type(module).__name__}; "
        f"known are {', '.join(kind.__name__ for kind in known)}"
    )
