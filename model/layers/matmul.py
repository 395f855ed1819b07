"""The product of two activations on multiplier cells, such as both of attention."""

from collections import Counter

import numpy as np
import torch
from torch import Tensor

from .config import QuantConfig
from .derived import Derived
from .gradients import product
from .heads import HeadGrids, multiply_heads
from .mixed import MixedWeights
from .moments import Moments, matmul_moments
from .observe import Observer
from .quantise import clamped
from .ranges import OperandChoice, OperandRange, OutputError, choose_pair, seen_range, single_method
from .sample import IntegerProduct
from .table_layer import Cells, TableLayer


class ApproxMatmul(TableLayer):
    """Product of two activations on multiplier cells: [..., M, K] times [..., K, N].

    The second operand takes the place of the weights, stationary in the array, with one scale.
    """

    def begin(self, device: torch.device | None = None) -> None:
        """Give a new layer its state."""
        super().begin(device)
        self.stationary_counts: Tensor | None = None
        self.stationary_low, self.stationary_high = -128, 127  # codes of the second operand
        self.head_count = 0  # length of the dimension of heads [..., H, M, K]; 0 without one
        self.compensate = True
        self._bias_codes: dict[tuple[Cells, int], Tensor] = {}  # by cells and length of the reduction
        self._unit: Derived[Tensor] = Derived()
        self.register_buffer("stationary_scale", torch.ones((), dtype=torch.float32, device=device))

    stationary_scale: Tensor

    def begin_observing(self) -> None:
        """Compute in float from now on and forget what calibration saw before."""
        super().begin_observing()
        self.stationary_observer = Observer()
        self.products: Counter[tuple[int, int, int]] = Counter()  # of the first observed batch, by (M, K, N)

    def calibrated(self, config: QuantConfig) -> None:
        """Fix the scales of both operands."""
        self.stationary_low, self.stationary_high = -config.held_limit - 1, config.held_limit
        super().calibrated(config)
        self.forget_prepared()

    def choose_operands(self, config: QuantConfig, error: OutputError | None) -> tuple[OperandRange, ...]:
        """Fix the scales of both operands together."""
        seen, limits = (self.input_observer, self.stationary_observer), (self.high, self.stationary_high)
        powers = self.power_of_two, False
        operands = list(zip(seen, limits, powers, strict=True))
        if error is None or any(observer.largest == 0 for observer in seen):
            found = [single_method(one, config, limit, power) for one, limit, power in operands]
        else:
            found = choose_pair(error, [
                OperandChoice(error.operands[place], error.sensitivity(place), one, limit, config, power)
                for place, (one, limit, power) in enumerate(operands)
            ])  # fmt: skip
        scales = [torch.tensor(one[1] / limit, device=self.activation_scale.device)
                  for one, limit in zip(found, limits, strict=True)]  # fmt: skip
        self.activation_scale, self.stationary_scale = scales
        named = zip(("first operand", "second operand"), seen, found, limits, strict=True)
        return tuple(seen_range(what, one, range_, name, limit) for what, one, (name, range_), limit in named)

    def float_product(self, values: Tensor, held: Tensor) -> Tensor:
        """[..., M, K] and [..., K, N] -> [..., M, N]."""
        return values @ held

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

    def bias_code(self, depth: int) -> Tensor:
        """Minus the mean error of the cells in sums of ``depth`` products: int32 [1] for all channels, or [H, 1, 1]."""
        if not self.compensate or self.code_counts is None:
            return torch.zeros(1, dtype=torch.int32, device=self.activation_scale.device)
        if (self.grid, depth) not in self._bias_codes:
            mean = torch.from_numpy(self.error_moments(self.grid, depth)[0])
            self._bias_codes[self.grid, depth] = (-mean).round().int().to(self.activation_scale.device)
        return self._bias_codes[self.grid, depth]

    def forget_prepared(self) -> None:
        """Drop what was derived from scales and statistics."""
        self._bias_codes.clear()

    def forget_counts(self) -> None:
        """Drop the statistics and the sample of the operand codes."""
        super().forget_counts()
        self.stationary_counts = None

    def multiply(self, codes: Tensor, stationary: Tensor, grid: Cells) -> Tensor:
        """Sums int32 [..., M, N] of ``grid`` for codes [..., M, K] and [..., K, N], without bias."""
        if isinstance(grid, HeadGrids):
            return multiply_heads(codes, stationary, grid)
        return MixedWeights(stationary, grid).matmul(codes)

    def error_moments(self, grid: Cells, depth: int | None = None) -> Moments:
        """Mean and variance of the error of sums under ``grid`` on calibration data: each [1] or [H, 1, 1].

        Of sums of ``depth`` products, of as many as in the sample by default.
        """
        assert self.code_counts is not None and self.stationary_counts is not None
        if depth is None:
            assert self.sample.codes is not None
            depth = self.sample.codes.shape[-1]
        if isinstance(grid, HeadGrids):
            mean, variance = zip(*(self.error_moments(one, depth) for one in grid.grids), strict=True)
            heads = np.arange(self.head_count) % len(grid.grids)
            return np.array(mean)[heads, :, None], np.array(variance)[heads, :, None]
        return matmul_moments(self.code_counts.numpy()[0], self.stationary_counts.numpy()[0], depth, grid)

    @torch.compiler.disable
    def accumulate(self, codes: Tensor, stationary: Tensor) -> Tensor:
        """int8 [..., M, K] and int8 [..., K, N] -> int32 [..., M, N]."""
        if self.counting:
            self._keep_sample(codes, stationary)
            counts, others = self._count(codes, False), self._count(stationary, False)
            if self.code_counts is not None and self.stationary_counts is not None:
                counts, others = self.code_counts + counts, self.stationary_counts + others
            self.code_counts, self.stationary_counts = counts, others
            self.forget_prepared()
        total = self.multiply(codes, stationary, self.grid) + self.bias_code(codes.shape[-1])
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
        return clamped(stationary, codes, self.stationary_scale, self.stationary_low, self.stationary_high)

    def forward(self, values: Tensor, stationary: Tensor) -> Tensor:
        """[..., M, K] and [..., K, N] -> [..., M, N], differentiable where gradients are on."""
        if not self.observing:
            own, values, stationary = values.dtype, values.float(), stationary.float()
            if self.chained:
                return product(self, values, stationary, None, requantised=True).to(own)
            if torch.is_grad_enabled():
                return product(self, values, stationary, None).to(own)
            found = self.integer_product(values, stationary)
            return (found.accumulators.float() * found.unit).to(own)
        result = values @ stationary
        if self.measuring and not self.passive:
            self.products[result.shape[-2], values.shape[-1], result.shape[-1]] += result.shape[:-2].numel()
            self.head_count = values.shape[-3] if values.ndim > 3 else 0
        self.observe(self.input_observer, values, "first operand")
        self.observe(self.stationary_observer, stationary, "second operand")
        self.observe(self.output_observer, result, "output")
        self.keep(values, stationary)
        return result

    def quantise_both(self, values: Tensor, stationary: Tensor) -> tuple[Tensor, Tensor]:
        """Codes int8 of both operands."""
        limits = self.stationary_low, self.stationary_high
        held = self.quantised_operand(stationary, self.stationary_scale, "second operand", *limits)
        return self.quantise_input(values), held

    def held(self, codes: Tensor) -> Tensor:
        """Activation codes int8 of the second operand's scale, within the limits of the place of weights."""
        if self.stationary_high == self.high:
            return codes
        return codes.clamp(self.stationary_low, self.stationary_high)
