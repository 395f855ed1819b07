"""What layers with constant weights share: quantised weights, bias codes, products, gradients.

Letters: M rows, K reduction, N output channels, G groups.
"""

from typing import Any

import torch
from torch import Tensor

from slipstick.errors import UserError

from ..kernels import ops
from ..kernels.ops import available
from .derived import steps_taken
from .gradients import product
from .heads import HeadGrids
from .mixed import MixedWeights
from .moments import Moments, weight_moments
from .quantise import QuantConfig, quantise, weight_scale
from .table_layer import Cells, TableLayer


class WeightLayer(TableLayer):
    """A layer with constant weights: the part that Linear and Conv2d share.

    ``weight`` [N, ...] and ``bias`` [N] stay the float parameters of the layer it replaces, so the state
    dict keeps its names. ``weight_codes`` int8 [K, N], ``bias_codes`` int32 [N] in accumulator units, both
    of the weight and bias as they are now: they are made anew after an optimiser's step and after any
    change that autograd sees, such as ``load_state_dict``. After writing to ``weight.data`` call
    ``forget_prepared``. With G ``groups``, ``weight_codes`` is [G, K / G, N / G]: group g multiplies the
    g-th part of every row, and its cells go by the channel within the group.
    """

    weight: Tensor
    bias: Tensor | None
    mean_error: Tensor | None  # [N], accumulator units: the offset that was frozen for training

    def __init__(self, weight: Tensor, bias: Tensor | None, groups: int = 1) -> None:
        super().__init__()
        self.take(weight, bias)
        self.groups = groups
        self.compensate = True
        self._prepared: dict[Cells, MixedWeights] = {}  # by cells, so that a search prepares each pair once
        self._bias_codes: dict[Cells, Tensor] = {}
        self._weight_limit = 127
        self._quantised: tuple[Tensor, Tensor] | None = None  # scale and codes of the weight
        self._unit: Tensor | None = None
        self._versions: tuple[int, ...] = ()  # of the parameters that all of these come from
        self.register_buffer("mean_error", None)

    def take(self, weight: Tensor, bias: Tensor | None) -> None:
        """Keep the parameters."""
        self.weight, self.bias = weight, bias

    def sources(self) -> tuple[Tensor | None, ...]:
        """The parameters that weight and bias come from."""
        return self.weight, self.bias

    def calibrated(self, config: QuantConfig) -> None:
        """Fix the scales of both operands. Raises UserError for weights or biases with NaN or Inf."""
        super().calibrated(config)
        for what, part in (("weight", self.weight), ("bias", self.bias)):
            if part is not None and not torch.isfinite(part).all():
                raise UserError(f"layer {self.path!r}: its {what} holds NaN or Inf")
        self._weight_limit = config.weight_limit
        self.forget_prepared()

    def set_cells(self, grid: Cells) -> None:
        """Choose the cells; an offset frozen for other cells goes."""
        super().set_cells(grid)
        if self.mean_error is not None:
            self.mean_error = None
            self._bias_codes.clear()

    @torch.inference_mode(False)  # what is kept from an evaluation must serve training too
    @torch.no_grad()
    def _quantised_weight(self) -> tuple[Tensor, Tensor]:
        """Scale [N] and codes int8 [K, N] of the weight as it is now."""
        versions: tuple[int, ...] = (steps_taken(),)
        if not torch.compiler.is_compiling():  # where versions of tensors are not known
            versions += tuple(seen for part in self.sources() if part is not None for seen in (id(part), part._version))
        if self._quantised is None or versions != self._versions[: len(versions)]:
            self.forget_prepared()
            limit = self._weight_limit
            scale = weight_scale(self.weight, limit)
            self._quantised = scale, self.matrix(quantise(self.weight, self._by_channel(scale), -limit, limit))
            self._versions = versions
        return self._quantised

    @property
    def weight_scale(self) -> Tensor:
        """Scale of every output channel's weights: [N]."""
        return self._quantised_weight()[0]

    @property
    def weight_codes(self) -> Tensor:
        """Weights int8 [K, N], or [G, K / G, N / G]."""
        return self._quantised_weight()[1]

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
        self._quantised = self._unit = None
        self._prepared.clear()
        self._bias_codes.clear()

    def _apply(self, *arguments: Any, **options: Any) -> "WeightLayer":
        self.forget_prepared()  # a new device or dtype
        return super()._apply(*arguments, **options)

    def _load_from_state_dict(self, *arguments: Any, **options: Any) -> None:
        self.forget_prepared()
        super()._load_from_state_dict(*arguments, **options)

    def forget_products(self) -> None:
        """Drop weights prepared for cells tried so far."""
        self._prepared.clear()

    def product_scale(self) -> Tensor:
        """Value of one unit of the accumulators, by output channel: [N]."""
        return self.activation_scale * self.weight_scale

    @torch.inference_mode(False)
    @torch.no_grad()
    def unit(self) -> Tensor:
        """``product_scale``, the same tensor as long as weights and scales are the same."""
        weight_scale = self.weight_scale  # first: it drops what belongs to older weights
        if self._unit is None:
            self._unit = self.activation_scale * weight_scale
        return self._unit

    def bias_codes(self) -> Tensor:
        """Bias int32 [N] in accumulator units, less the mean error of the cells on calibration data.

        The mean error of a channel is known once its weights are, so taking it out costs nothing
        (bias correction: Nagel et al., ICCV 2019; control variate: arXiv 2102.09642). While training it is
        the frozen offset: codes keep their distribution when the weights' scale follows their maximum.
        """
        scale = self.unit()  # first: it drops what belongs to older weights
        if self.grid not in self._bias_codes:
            bias = torch.zeros(len(scale), device=self.weight.device, dtype=torch.float64)
            if self.bias is not None:
                bias += self.bias.detach().double() / scale.double()
            bias -= self._mean_error()
            self._bias_codes[self.grid] = bias.round().clamp(-(2**30), 2**30).int()
        return self._bias_codes[self.grid]

    def _mean_error(self) -> Tensor:
        """Mean error of the accumulators, float64 [N]: frozen, or that of the weights as they are now."""
        if not self.compensate or self.code_counts is None:
            return torch.zeros(len(self.weight), dtype=torch.float64, device=self.weight.device)
        if self.mean_error is not None:
            return self.mean_error.double()
        return torch.from_numpy(self.error_moments(self.grid)[0]).to(self.weight.device)

    def freeze_compensation(self) -> None:
        """Keep the mean error of the cells as it is now: ``mean_error`` joins the state dict."""
        self.mean_error = self._mean_error()

    def error_moments(self, grid: Cells) -> Moments:
        """Mean and variance of the accumulators' error under ``grid`` on the calibration data: [N], [N]."""
        assert self.code_counts is not None and not isinstance(grid, HeadGrids)
        codes = self.weight_codes.cpu().numpy()
        mean, variance = weight_moments(self.code_counts.numpy().reshape(*codes.shape[:-1], 256), codes, grid)
        return mean.reshape(-1), variance.reshape(-1)

    def accumulate(self, codes: Tensor) -> Tensor:
        """Activation codes int8 [..., K] -> accumulators int32 [..., N], bias included."""
        total = self._sums(codes) + self.bias_codes()
        if self.recorder is not None:
            self.recorder(self.path, self, codes, self.weight_codes, total)
        return total

    def _sums(self, codes: Tensor) -> Tensor:
        weights = self.weight_codes  # first: it drops what belongs to older weights
        if self.counting:
            self._keep_sample(codes, weights)
            counts = self._count(codes, per_channel=True)
            self.code_counts = counts if self.code_counts is None else self.code_counts + counts
        assert not isinstance(self.grid, HeadGrids)
        if self.grid not in self._prepared:
            self._prepared[self.grid] = MixedWeights(weights, self.grid)
        return self._grouped(self._prepared[self.grid], codes)

    def values(self, codes: Tensor) -> Tensor:
        """Activation codes int8 [..., K] -> the accumulators' values, float32 [..., N]."""
        if self.recorder is None and available(codes.device):
            return ops.scale(self._sums(codes), self.bias_codes(), self.product_scale())
        return self.accumulate(codes).float() * self.product_scale()

    def run(self, rows: Tensor) -> Tensor:
        """Float rows [..., K] -> float [..., N] through the cells, differentiable where gradients are on."""
        return self._differentiable(rows) if torch.is_grad_enabled() else self.values(self.quantise_input(rows))

    def requantised(self, rows: Tensor) -> Tensor:
        """Like ``run``, but the values of the int8 outputs: rows [..., K] -> codes * ``output_scale`` [..., N]."""
        return self._differentiable(rows, requantised=True)

    def _differentiable(self, rows: Tensor, requantised: bool = False) -> Tensor:
        if self.mean_error is None:
            self.freeze_compensation()
        return product(self, rows, self.matrix(self.weight), self.bias, requantised)

    def integer_product(self, values: Tensor, stationary: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Codes of the rows, codes of the weight (``stationary`` only routes its gradient), accumulators."""
        codes = self.quantise_input(values)
        return codes, self.weight_codes, self.accumulate(codes)

    def stationary_scales(self) -> Tensor:
        """Scale of every output channel's weights: [N]."""
        return self.weight_scale

    def clamped_stationary(self, stationary: Tensor, codes: Tensor) -> Tensor | None:
        """None: the scale is that of the largest weight, so none is clamped."""
        return None
