"""The product of two activations on multiplier cells, such as both of attention."""

import numpy as np
import torch
from torch import Tensor

from .derived import Derived
from .gradients import product
from .heads import HeadGrids, multiply_heads
from .mixed import MixedWeights
from .moments import Moments, matmul_moments
from .quantise import Observer, QuantConfig, clamped, quantise
from .table_layer import Cells, IntegerProduct, TableLayer


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
        self._bias_code: tuple[Cells, Tensor] | None = None  # and the cells it is for
        self._unit: Derived[Tensor] = Derived()
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

    def unit(self) -> Tensor:
        """``product_scale``, the same tensor as long as the scales are the same."""
        return self._unit(self.product_scale, self.activation_scale, self.stationary_scale)

    def check_cells(self, grid: Cells) -> None:
        """UserError for cells by head on a layer without heads."""
        if not self.head_count:
            super().check_cells(grid)

    def bias_code(self) -> Tensor:
        """Minus the mean error of the cells, in accumulator units: int32 [1] for all channels, or [H, 1, 1]."""
        if not self.compensate or self.code_counts is None:
            return torch.zeros(1, dtype=torch.int32, device=self.activation_scale.device)
        if self._bias_code is None or self._bias_code[0] != self.grid:
            mean = torch.from_numpy(self.error_moments(self.grid)[0])
            self._bias_code = self.grid, (-mean).round().int().to(self.activation_scale.device)
        return self._bias_code[1]

    def forget_prepared(self) -> None:
        """Drop what was derived from scales and statistics."""
        self._bias_code = None

    def forget_counts(self) -> None:
        """Drop the statistics and the sample of the operand codes."""
        super().forget_counts()
        self.stationary_counts = None

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
            self.forget_prepared()
        total = self.multiply(codes, stationary, self.grid) + self.bias_code()
        if self.recorder is not None:
            self.recorder(self.path, self, codes, stationary, total)
        return total

    def integer_product(self, values: Tensor, stationary: Tensor) -> IntegerProduct:
        """The product of both operands."""
        codes, held = self.quantise_both(values, stationary)
        total = self.accumulate(codes, held)
        return IntegerProduct(codes, held, total, self.stationary_scale.view(1), self.product_scale())

    def clamped_stationary(self, stationary: Tensor, codes: Tensor) -> Tensor | None:
        """Flat places where the second operand's quantiser clamps."""
        return clamped(stationary, codes, self.stationary_scale, self.low, self.high)

    def requantised(self, values: Tensor, stationary: Tensor) -> Tensor:
        """Like ``forward``, but the values of the int8 outputs: codes * ``output_scale`` [..., M, N]."""
        return product(self, values, stationary, None, requantised=True)

    def forward(self, values: Tensor, stationary: Tensor) -> Tensor:
        """[..., M, K] and [..., K, N] -> [..., M, N], differentiable where gradients are on."""
        if not self.observing and torch.is_grad_enabled():
            return product(self, values, stationary, None)
        if not self.observing:
            found = self.integer_product(values, stationary)
            return found.accumulators.float() * found.unit
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
