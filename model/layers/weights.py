"""What layers with constant weights share: quantised weights, bias codes, products, gradients.

Letters: M rows, K reduction, N output channels, G groups.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from slipstick.errors import UserError

from ..kernels import ops
from ..kernels.fingerprint import Fingerprint, fingerprint
from ..kernels.ops import available
from .config import QuantConfig
from .derived import Derived
from .gradients import product
from .heads import HeadGrids
from .mixed import MixedWeights
from .moments import Moments, weight_moments
from .offset import OffsetLayer
from .quantise import clamped, quantise, weight_scale
from .ranges import OperandRange, OutputError, clipped_weights, rounded, weight_clip
from .sample import IntegerProduct
from .scales import channel_scale
from .table_layer import Cells

INT32 = (1 << 31) - 1


@dataclass
class Quantised:
    """Weight and bias as whole numbers, and what was made of them since.

    ``scale`` and ``unit``, of a weight code and of an accumulator, float32 [N]; ``codes`` int8 [K, N] or
    [G, K / G, N / G]; ``bias`` float64 [N] in accumulator units; by cells, so that a search prepares each once,
    ``products`` and ``errors`` float64 [N]; ``bias_codes`` int32 [N] by the offset in them.
    """

    made_from: Fingerprint
    scale: Tensor
    codes: Tensor
    unit: Tensor
    bias: Tensor
    products: dict[Cells, MixedWeights] = field(default_factory=dict)
    errors: dict[Cells, Tensor] = field(default_factory=dict)
    bias_codes: dict[Any, Tensor] = field(default_factory=dict)


class WeightLayer(OffsetLayer):
    """A layer with constant weights: the part that Linear and Conv2d share.

    ``weight`` [N, ...] and ``bias`` [N] stay the float parameters of the layer it replaces, so the state
    dict keeps its names. ``weight_codes`` int8 [K, N], ``bias_codes`` int32 [N] in accumulator units, both
    of the numbers that weight and bias hold now, whoever wrote them. With G ``groups``, ``weight_codes`` is
    [G, K / G, N / G]: group g multiplies the g-th part of every row, and its cells go by the channel within the group.
    """

    weight: Tensor
    bias: Tensor | None
    weight_clip: Tensor  # [N]: the part of its largest weight that a channel's codes hold

    def begin(self, device: torch.device | None = None) -> None:
        """Give a module with weight and bias what it needs beside them."""
        super().begin(self.weight.device if device is None else device)
        self.groups: int = getattr(self, "groups", 1)  # a Conv2d has them
        self._weight_limit = 127
        self._quantised: Derived[Quantised] = Derived()
        device = self.activation_scale.device
        self.register_buffer("weight_clip", torch.ones(len(self.weight), dtype=torch.float32, device=device))

    def sources(self) -> tuple[Tensor | None, ...]:
        """The parameters that weight and bias come from, those of the weight first."""
        if "weight" in self._parameters:
            return self.weight, self.bias
        made_of = [parameter for name, parameter in self.named_parameters() if "weight" in name]
        return *made_of, *([] if made_of else [self.weight]), self.bias

    def calibrated(self, config: QuantConfig) -> None:
        """Fix the scales of both operands. Raises UserError for weights or biases with NaN or Inf."""
        self._weight_limit = config.weight_limit
        super().calibrated(config)
        self.mean_error = torch.zeros(len(self.weight), dtype=torch.float64, device=self.weight.device)
        self._drop()
        self.forget_prepared()
        self.quantised()

    def choose_operands(self, config: QuantConfig, error: OutputError | None) -> tuple[OperandRange, ...]:
        """Fix the scale of the activations, then the part of every channel's weights that codes hold."""
        limit, device = self._weight_limit, self.weight.device
        self.weight_clip, held = torch.ones_like(self.weight_clip), None
        if error is not None:
            weight = error.operands[1]
            held = rounded(weight, self._by_channel(weight_scale(weight, limit)), -limit, limit)
        activation_scale, activations = self.choose_activations(config, error, held)
        if error is not None and config.clip_weights:
            inputs = rounded(error.operands[0], activation_scale, self.low, self.high)
            self.weight_clip = weight_clip(error, inputs, limit)
        self.activation_scale = torch.tensor(activation_scale, device=device)
        return activations, clipped_weights(self.weight, self.weight_clip)

    def quantised(self) -> Quantised:
        """Weight and bias as they are now. Raises UserError when they hold NaN or Inf."""
        return self._quantised(self._quantise, self.weight, self.bias, self.activation_scale, self.weight_clip)

    def numbers(self) -> Fingerprint:
        """What weight, bias, the activations' scale and the weights' clipping hold now."""
        return tuple(map(fingerprint, (self.weight, self.bias, self.activation_scale, self.weight_clip)))

    def _quantise(self) -> Quantised:
        for what, part in (("weight", self.weight), ("bias", self.bias)):
            if part is not None and not torch.isfinite(part).all():
                raise UserError(f"layer {self.path!r}: its {what} holds NaN or Inf")
        weight, limit = self.weight.float(), self._weight_limit
        bias = None if self.bias is None else self.bias.double()
        scale = channel_scale(weight, bias, self.activation_scale, limit, self.weight_clip)
        codes = self.matrix(quantise(weight, self._by_channel(scale), -limit, limit))
        unit = self.activation_scale * scale
        if not torch.isfinite(unit).all():
            raise UserError(f"layer {self.path!r}: its weights or biases are too large for its inputs")
        in_units = torch.zeros_like(unit, dtype=torch.float64) if bias is None else bias / unit.double()
        return Quantised(self.numbers(), scale, codes, unit, in_units)

    @property
    def weight_scale(self) -> Tensor:
        """Scale of every output channel's weights: [N]."""
        return self.quantised().scale

    @property
    def weight_codes(self) -> Tensor:
        """Weights int8 [K, N], or [G, K / G, N / G]."""
        return self.quantised().codes

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
        """Drop what was derived; call after changing statistics or options, not weights or scales."""
        super().forget_prepared()
        self._quantised.forget()

    def forget_products(self) -> None:
        """Drop weights prepared for cells tried so far."""
        self.quantised().products.clear()

    def product_scale(self) -> Tensor:
        """Value of one unit of the accumulators, by output channel: [N]."""
        return self.quantised().unit

    def unit(self) -> Tensor:
        """``product_scale``, the same tensor as long as weights and scales are the same."""
        return self.quantised().unit

    def bias_codes(self, now: Quantised | None = None) -> Tensor:
        """Bias int32 [N] in accumulator units, less the mean error of the cells on calibration data.

        The mean error of a channel is known once its weights are, so taking it out costs nothing
        (bias correction: Nagel et al., ICCV 2019; control variate: arXiv 2102.09642).
        """
        now = now or self.quantised()
        offset = self.offset(now.made_from) if self.compensate else None
        key = self.grid, fingerprint(offset)
        if key not in now.bias_codes:
            with torch.inference_mode(False), torch.no_grad():
                codes = (now.bias if offset is None else now.bias - offset).round()
                self._check_sums(now, codes)
                now.bias_codes[key] = codes.int()
        return now.bias_codes[key]

    def _check_sums(self, now: Quantised, bias: Tensor) -> None:
        """UserError unless every sum, bias included, fits int32: nothing is clamped, nothing wraps."""
        largest = self._product(now).largest_sum + float(bias.abs().max())
        if largest > INT32:
            raise UserError(
                f"layer {self.path!r}: sums of its products and its bias reach {largest:.3g}, more than int32 holds; "
                "split the reduction"
            )

    def _error_of_now(self) -> Tensor:
        now = self.quantised()
        if self.grid not in now.errors:
            if self.code_counts is None:
                return torch.zeros_like(now.bias)
            now.errors[self.grid] = torch.from_numpy(self.error_moments(self.grid)[0]).to(now.bias.device)
        return now.errors[self.grid].clone()  # what averages buffers in place must not reach it

    def error_moments(self, grid: Cells) -> Moments:
        """Mean and variance of the accumulators' error under ``grid`` on the calibration data: [N], [N]."""
        assert self.code_counts is not None and not isinstance(grid, HeadGrids)
        codes = self.weight_codes.cpu().numpy()
        mean, variance = weight_moments(self.code_counts.numpy().reshape(*codes.shape[:-1], 256), codes, grid)
        return mean.reshape(-1), variance.reshape(-1)

    @torch.compiler.disable
    def accumulate(self, codes: Tensor, now: Quantised | None = None) -> Tensor:
        """Activation codes int8 [..., K] -> accumulators int32 [..., N], bias included."""
        now = now or self.quantised()
        total = self._sums(codes, now) + self.bias_codes(now)
        if self.recorder is not None:
            self.recorder(self.path, self, codes, now.codes, total)
        return total

    def _sums(self, codes: Tensor, now: Quantised) -> Tensor:
        if self.counting:
            self._keep_sample(codes, now.codes)
            counts = self._count(codes, per_channel=True)
            self.code_counts = counts if self.code_counts is None else self.code_counts + counts
        return self._grouped(self._product(now), codes)

    def _product(self, now: Quantised) -> MixedWeights:
        grid = self.grid
        assert not isinstance(grid, HeadGrids)
        if grid not in now.products:
            now.products[grid] = MixedWeights(now.codes, grid)
        return now.products[grid]

    def values(self, codes: Tensor) -> Tensor:
        """Activation codes int8 [..., K] -> the accumulators' values, float32 [..., N]."""
        now = self.quantised()
        if self.recorder is None and available(codes.device):
            return ops.scale(self._sums(codes, now), self.bias_codes(now), now.unit)
        return self.accumulate(codes, now).float() * now.unit

    def run(self, rows: Tensor) -> Tensor:
        """Float rows [..., K] -> float [..., N] through the cells, differentiable where gradients are on.

        A ``chained`` layer gives codes * ``output_scale``.
        """
        with parametrize.cached():  # one weight a call: some are drawn or iterated anew every time
            if not torch.is_grad_enabled() and not self.chained:
                return self.values(self.quantise_input(rows))
            bias = None if self.bias is None else self.bias.float()
            return product(self, rows, self.matrix(self.weight.float()), bias, self.chained)

    def integer_product(self, values: Tensor, stationary: Tensor) -> IntegerProduct:
        """Of the rows and the weight; ``stationary`` only routes the weight's gradient."""
        codes, now = self.quantise_input(values), self.quantised()
        return IntegerProduct(codes, now.codes, self.accumulate(codes, now), now.scale, now.unit)

    def clamped_stationary(self, stationary: Tensor, codes: Tensor) -> Tensor | None:
        """Flat places where a channel's range clips its weights; None where every range holds the largest."""
        if bool((self.weight_clip == 1).all()):
            return None
        scale = self.weight_scale if self.groups == 1 else self.weight_scale.view(self.groups, 1, -1)
        return clamped(stationary / scale, codes, scale.new_ones(1), -self._weight_limit, self._weight_limit)
