"""Thermometer codes: T thresholds turn a feature into T bits, ``bit = 1[x > threshold]``."""

from typing import Any

import torch
from torch import Tensor, nn

from slipstick.errors import UserError
from slipstick.limits import Limits
from slipstick.model.kernels.ops import available
from slipstick.model.kernels.weightless import compare, window
from slipstick.rtl.spec.lutnet import CODE_RANGE

from .bits import Bits, carrier

SPREAD = 3.5  # standard deviations that the thresholds of a feature cover, about


def _fractions(count: int, like: Tensor) -> Tensor:
    return torch.arange(1, count + 1, dtype=like.dtype, device=like.device) / (count + 1)


def linear(data: Tensor, count: int) -> Tensor:
    """Thresholds [D, count] at equal distances between smallest and largest value of ``data`` [M, D]."""
    low, high = data.amin(0), data.amax(0)
    return low[:, None] + _fractions(count, data) * (high - low)[:, None]


def gaussian(data: Tensor, count: int) -> Tensor:
    """Thresholds [D, count] at equal distances in probability, were ``data`` [M, D] normally distributed."""
    quantiles = torch.special.ndtri(_fractions(count, data))
    return data.mean(0)[:, None] + data.std(0)[:, None] * quantiles


def distributive(data: Tensor, count: int) -> Tensor:
    """Thresholds [D, count] at equal distances in rank among the values of ``data`` [M, D]."""
    ranks = [len(data) * k // (count + 1) for k in range(1, count + 1)]
    return data.sort(0).values[ranks].T.contiguous()


RULES = {"linear": linear, "gaussian": gaussian, "distributive": distributive}
SURROGATES = ("window", "identity")
THRESHOLDS = Limits(1, CODE_RANGE[1] - CODE_RANGE[0])  # of a feature: as many as tell int8 codes apart


class _Compare(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, thresholds: Tensor, scale: Tensor, width: Tensor | None) -> tuple[Tensor, Tensor]:
        codes = feature_codes(x, scale).to(torch.int16).T.contiguous()
        limits = threshold_codes(thresholds, scale).to(torch.int16)
        if available(codes.device):
            bits = compare(codes, limits)
        else:
            bits = (codes.unsqueeze(1) > limits.unsqueeze(2)).flatten(0, 1).view(torch.uint8)
        ctx.save_for_backward(codes, thresholds, scale, *([] if width is None else [width]))
        ctx.mark_non_differentiable(bits)
        return bits, carrier(bits, x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        codes, thresholds, scale, *width = ctx.saved_tensors
        gradient = gradients[1].unflatten(0, thresholds.shape)
        if not width:
            return gradient.sum(1).T, -gradient.sum(2), None, None
        half = width[0][:, None] / 2
        low, high = ((thresholds - half) / scale).floor(), ((thresholds + half) / scale).ceil()
        low, high = (limit.clamp(-(1 << 15), (1 << 15) - 1).to(torch.int16) for limit in (low, high))
        if available(codes.device) and gradient.dtype == torch.float32:
            to_codes, to_thresholds = window(codes, gradients[1], low, high, 1 / width[0])
            return to_codes.T, to_thresholds, None, None
        code = codes.unsqueeze(1)
        near = gradient * ((code > low.unsqueeze(2)) & (code < high.unsqueeze(2)))
        return (near.sum(1) / width[0][:, None]).T, -near.sum(2) / width[0][:, None], None, None


def feature_codes(x: Tensor, scale: Tensor) -> Tensor:
    """The int8 codes of features, in float."""
    return (x / scale).round().clamp(*CODE_RANGE)


def threshold_codes(thresholds: Tensor, scale: Tensor) -> Tensor:
    """Integer thresholds t, in float: ``code > t`` is ``code * scale > threshold`` for every int8 code."""
    return (thresholds / scale).floor().clamp(*CODE_RANGE)


class Thermometer(nn.Module):
    """Bits of int8 codes of one ``scale``, with ``thresholds`` [D, T] in the unit of the features.

    Thresholds are learnt unless ``learnt`` is False. The gradient of a bit by its feature is 1 (identity), or
    1/width within a window of that width around the threshold, and 0 elsewhere (window); by its threshold, the
    opposite.
    """

    scale: Tensor
    width: Tensor | None

    def __init__(
        self, data: Tensor, count: int, scale: float, rule: str = "distributive", learnt: bool = True,
        surrogate: str = "window",
    ) -> None:  # fmt: skip
        """``data`` float [M, D] are features as they occur; ``rule`` and ``surrogate`` from RULES and SURROGATES.

        Raises UserError for a count out of range and an unknown rule or surrogate.
        """
        super().__init__()
        THRESHOLDS.check("thresholds", count)
        if rule not in RULES or surrogate not in SURROGATES:
            raise UserError(
                f"thermometer {rule!r}, {surrogate!r}: rules are {', '.join(RULES)}, surrogates {', '.join(SURROGATES)}"
            )
        self.thresholds = nn.Parameter(RULES[rule](data, count), requires_grad=learnt)
        self.register_buffer("scale", torch.tensor(scale))
        width = (SPREAD * data.std(0) / (count + 1)).clamp_(min=scale)
        self.register_buffer("width", width if surrogate == "window" else None)

    def forward(self, x: Tensor) -> Bits:
        """Features float [M, D] -> bits [D * T, M], a feature's side by side, lowest threshold first.

        Raises UserError for NaN and Inf, which no code stands for.
        """
        if not torch.isfinite(x).all():
            raise UserError("weightless MLP: its input holds NaN or Inf")
        return Bits(*_Compare.apply(x, self.thresholds.sort(1).values, self.scale, self.width))

    def codes(self) -> Tensor:
        """The thresholds in hardware: int64 [D, T], ascending."""
        return threshold_codes(self.thresholds.detach().sort(1).values, self.scale).long()
