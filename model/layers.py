"""Layers whose products come from multiplier cells: Linear and the product of two activations.

Every layer quantises its operands to int8, sums products of its cells to exact int32, and scales back
to float. While ``observing`` it computes in float and collects the ranges that calibration needs.
Letters: M rows, K reduction, N output channels.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slipstick.errors import UserError

from .heads import HeadGrids, multiply_heads
from .mixed import MixedWeights
from .moments import Moments, matmul_moments, weight_moments
from .quantise import Observer, QuantConfig, quantise, weight_scale
from .table_layer import Cells, TableLayer


class WeightLayer(TableLayer):
    """A layer with constant weights: the part that Linear and Conv2d share.

    ``weight`` [N, ...] and ``bias`` [N] stay the float parameters of the layer it replaces, so the state
    dict keeps its names. ``weight_codes`` int8 [K, N], ``bias_codes`` int32 [N] in accumulator units.
    With G ``groups``, ``weight_codes`` is [G, K / G, N / G]: group g multiplies the g-th part of every
    row, and its cells go by the channel within the group.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None, groups: int = 1) -> None:
        super().__init__()
        self.take(weight, bias)
        self.groups = groups
        self.compensate = True
        self._prepared: dict[Cells, MixedWeights] = {}  # by cells, so that a search prepares each pair once
        self._bias_codes: dict[Cells, Tensor] = {}

    def take(self, weight: Tensor, bias: Tensor | None) -> None:
        """Keep the parameters."""
        self.weight, self.bias = weight, bias

    def calibrated(self, config: QuantConfig) -> None:
        """Fix the scales of both operands. Raises UserError for weights or biases with NaN or Inf."""
        super().calibrated(config)
        for what, part in (("weight", self.weight), ("bias", self.bias)):
            if part is not None and not torch.isfinite(part).all():
                raise UserError(f"layer {self.path!r}: its {what} holds NaN or Inf")
        limit = config.weight_limit
        self.weight_scale = weight_scale(self.weight, limit)
        self.weight_codes = self.matrix(quantise(self.weight, self._by_channel(self.weight_scale), -limit, limit))
        self.forget_prepared()

    def matrix(self, weight: Tensor) -> Tensor:
        """The weight as a matrix [K, N], or one for each group."""
        matrix = weight.flatten(1).unflatten(0, (self.groups, -1)).mT.contiguous()
        return matrix if self.groups > 1 else matrix[0]

    def multiply(self, codes: Tensor, stationary: Tensor, grid: Cells) -> Tensor:
        """Sums int32 [..., N] of ``grid`` for activation codes [..., K] and weight codes, without bias."""
        assert not isinstance(grid, HeadGrids)
        return self._grouped(MixedWeights(stationary, grid), codes)

    def _grouped(self, weights: MixedWeights, codes: Tensor) -> Tensor:
        if self.groups == 1:
            return weights.matmul(codes)
        return self.joined(weights.matmul(self.split(codes)))

    def split(self, rows: Tensor) -> Tensor:
        """Rows [..., M, C] of all groups as [..., G, M, C / G]."""
        return rows.unflatten(-1, (self.groups, -1)).movedim(-2, -3)

    def joined(self, rows: Tensor) -> Tensor:
        """Rows [..., G, M, C / G] as [..., M, C]."""
        return rows.movedim(-3, -2).flatten(-2)

    def _by_channel(self, values: Tensor) -> Tensor:
        return values.view(-1, *[1] * (self.weight.ndim - 1))

    def forget_prepared(self) -> None:
        """Drop what was derived from weights, scales and statistics; call after changing any of them."""
        self._prepared.clear()
        self._bias_codes.clear()

    def forget_products(self) -> None:
        """Drop weights prepared for cells tried so far."""
        self._prepared.clear()

    def product_scale(self) -> Tensor:
        """Value of one unit of the accumulators, by output channel: [N]."""
        return self.activation_scale * self.weight_scale

    def bias_codes(self) -> Tensor:
        """Bias int32 [N] in accumulator units, less the mean error of the cells on calibration data.

        The mean error of a channel is known once its weights are, so taking it out costs nothing
        (bias correction: Nagel et al., ICCV 2019; control variate: arXiv 2102.09642).
        """
        if self.grid not in self._bias_codes:
            bias = torch.zeros(len(self.weight), device=self.weight.device, dtype=torch.float64)
            if self.bias is not None:
                bias += self.bias.detach().double() / self.product_scale().double()
            if self.compensate and self.code_counts is not None:
                bias -= torch.from_numpy(self.error_moments(self.grid)[0]).to(bias.device)
            self._bias_codes[self.grid] = bias.round().clamp(-(2**30), 2**30).int()
        return self._bias_codes[self.grid]

    def error_moments(self, grid: Cells) -> Moments:
        """Mean and variance of the accumulators' error under ``grid`` on the calibration data: [N], [N]."""
        assert self.code_counts is not None and not isinstance(grid, HeadGrids)
        codes = self.weight_codes.cpu().numpy()
        mean, variance = weight_moments(self.code_counts.numpy().reshape(*codes.shape[:-1], 256), codes, grid)
        return mean.reshape(-1), variance.reshape(-1)

    def accumulate(self, codes: Tensor) -> Tensor:
        """Activation codes int8 [..., K] -> accumulators int32 [..., N], bias included."""
        if self.counting:
            self._keep_sample(codes, self.weight_codes)
            counts = self._count(codes, per_channel=True)
            self.code_counts = counts if self.code_counts is None else self.code_counts + counts
        assert not isinstance(self.grid, HeadGrids)
        if self.grid not in self._prepared:
            self._prepared[self.grid] = MixedWeights(self.weight_codes, self.grid)
        total = self._grouped(self._prepared[self.grid], codes) + self.bias_codes()
        if self.recorder is not None:
            self.recorder(self.path, self, codes, self.weight_codes, total)
        return total

    def run(self, rows: Tensor) -> Tensor:
        """Float rows [..., K] -> float [..., N] through the cells."""
        return self.accumulate(self.quantise_input(rows)).float() * self.product_scale()


class ApproxLinear(WeightLayer):
    """``nn.Linear`` on multiplier cells."""

    @classmethod
    def from_float(cls, layer: nn.Linear) -> "ApproxLinear":
        """Take over weight and bias of a Linear."""
        return cls(layer.weight, layer.bias)

    def forward(self, values: Tensor) -> Tensor:
        """Rows [..., K] -> [..., N]."""
        if not self.observing:
            return self.run(values)
        result = F.linear(values, self.weight, self.bias)
        self.seen += values.numel() // values.shape[-1]
        self.observe(self.input_observer, values, "input")
        self.observe(self.output_observer, result, "output")
        return result


class ApproxMatmul(TableLayer):
    """Product of two activations on multiplier cells: [..., M, K] times [..., K, N].

    The second operand takes the place of the weights, stationary in the array, with one scale.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stationary_observer = Observer()
        self.stationary_counts: Tensor | None = None
        self.depth = self.channels = 0
        self.heads = 0  # products of one image, windows and all
        self.head_count = 0  # length of the dimension of heads [..., H, M, K]; 0 without one
        self.compensate = True
        self.register_buffer("stationary_scale", torch.ones(()))

    stationary_scale: Tensor

    def calibrated(self, config: QuantConfig) -> None:
        """Fix the scales of both operands."""
        super().calibrated(config)
        self.stationary_scale = torch.tensor(
            self.stationary_observer.scale(config), device=self.activation_scale.device
        )

    def product_scale(self) -> Tensor:
        """Value of one unit of the accumulators: [1]."""
        return (self.activation_scale * self.stationary_scale).view(1)

    def check_cells(self, grid: Cells) -> None:
        """UserError for cells by head on a layer without heads."""
        if not self.head_count:
            super().check_cells(grid)

    def bias_code(self) -> Tensor:
        """Minus the mean error of the cells, in accumulator units: int32 [1] for all channels, or [H, 1, 1]."""
        if not self.compensate or self.code_counts is None:
            return torch.zeros(1, dtype=torch.int32, device=self.activation_scale.device)
        mean = torch.from_numpy(self.error_moments(self.grid)[0])
        return (-mean).round().int().to(self.activation_scale.device)

    def multiply(self, codes: Tensor, stationary: Tensor, grid: Cells) -> Tensor:
        """Sums int32 [..., M, N] of ``grid`` for codes [..., M, K] and [..., K, N], without bias."""
        if isinstance(grid, HeadGrids):
            return multiply_heads(codes, stationary, grid)
        return MixedWeights(stationary, grid).matmul(codes)

    def error_moments(self, grid: Cells) -> Moments:
        """Mean and variance of the accumulators' error under ``grid`` on calibration data: each [1] or [H, 1, 1]."""
        assert self.code_counts is not None and self.stationary_counts is not None
        if isinstance(grid, HeadGrids):
            mean, variance = zip(*(self.error_moments(one) for one in grid.grids), strict=True)
            heads = np.arange(self.head_count) % len(grid.grids)
            return np.array(mean)[heads, :, None], np.array(variance)[heads, :, None]
        return matmul_moments(self.code_counts.numpy()[0], self.stationary_counts.numpy()[0], self.depth, grid)

    def accumulate(self, codes: Tensor, stationary: Tensor) -> Tensor:
        """int8 [..., M, K] and int8 [..., K, N] -> int32 [..., M, N]."""
        if self.counting:
            self._keep_sample(codes, stationary)
            counts, others = self._count(codes, False), self._count(stationary, False)
            if self.code_counts is not None and self.stationary_counts is not None:
                counts, others = self.code_counts + counts, self.stationary_counts + others
            self.code_counts, self.stationary_counts = counts, others
        total = self.multiply(codes, stationary, self.grid) + self.bias_code()
        if self.recorder is not None:
            self.recorder(self.path, self, codes, stationary, total)
        return total

    def forward(self, values: Tensor, stationary: Tensor) -> Tensor:
        """[..., M, K] and [..., K, N] -> [..., M, N]."""
        if not self.observing:
            return self.accumulate(*self.quantise_both(values, stationary)).float() * self.product_scale()
        result = values @ stationary
        self.rows_per_image, self.channels = result.shape[-2:]
        self.depth, self.head_count = values.shape[-1], values.shape[-3] if values.ndim > 3 else 0
        self.seen += result.numel() // (self.rows_per_image * self.channels)
        self.observe(self.input_observer, values, "first operand")
        self.observe(self.stationary_observer, stationary, "second operand")
        self.observe(self.output_observer, result, "output")
        return result

    def measured(self, images: int) -> None:
        """Products of one image, from what was seen while ``images`` of them passed once."""
        self.heads = -(-self.seen // images)

    def quantise_both(self, values: Tensor, stationary: Tensor) -> tuple[Tensor, Tensor]:
        """Codes int8 of both operands."""
        return self.quantise_input(values), quantise(stationary, self.stationary_scale, self.low, self.high)
