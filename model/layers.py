"""Layers whose products come from multiplier cells: Linear, Conv2d and the product of two activations.

Every layer quantises its operands to int8, sums products of its cells to exact int32, and scales back
to float. While ``observing`` it computes in float and collects the ranges that calibration needs.
Letters: M rows, K reduction, N output channels.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from .gradients import product
from .mixed import Grid, MixedWeights
from .moments import Moments, matmul_moments, weight_moments
from .quantise import Observer, QuantConfig, clamped, quantise, weight_scale
from .table_layer import TableLayer

_STEPS = [0]  # of all optimisers of the process: fused ones change weights without telling autograd's versions


def _count_step(*_: Any) -> None:
    _STEPS[0] += 1


register_optimizer_step_post_hook(_count_step)


class WeightLayer(TableLayer):
    """A layer with constant weights: the part that Linear and Conv2d share.

    ``weight`` and ``bias`` stay the float parameters of the layer it replaces, so the state dict keeps
    its names. ``weight_codes`` int8 [K, N], ``bias_codes`` int32 [N] in accumulator units, both of the
    weight and bias as they are now: they are made anew after an optimiser's step and after any change
    that autograd sees, such as ``load_state_dict``. After writing to ``weight.data`` call ``forget_prepared``.
    """

    mean_error: Tensor | None  # [N], accumulator units: the offset that was frozen for training

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.weight, self.bias = weight, bias
        self.compensate = True
        self._prepared: dict[Grid, MixedWeights] = {}  # by cells, so that a search prepares each pair once
        self._bias_codes: dict[Grid, Tensor] = {}
        self._quantised: tuple[Tensor, Tensor] | None = None  # scale and codes of the weight
        self._versions: tuple[int, ...] = ()  # of the parameters that all of these come from
        self.register_buffer("mean_error", None)

    def calibrated(self, config: QuantConfig) -> None:
        """Fix the scale of the activations."""
        super().calibrated(config)
        self.forget_prepared()

    def set_cells(self, grid: Grid) -> None:
        """Choose the cells; an offset frozen for other cells goes."""
        super().set_cells(grid)
        if self.mean_error is not None:
            self.mean_error = None
            self._bias_codes.clear()

    @torch.no_grad()
    def _quantised_weight(self) -> tuple[Tensor, Tensor]:
        """Scale [N] and codes int8 [K, N] of the weight as it is now."""
        versions: tuple[int, ...] = (_STEPS[0],)
        if not torch.compiler.is_compiling():  # where versions of tensors are not known
            parameters = [self.weight] if self.bias is None else [self.weight, self.bias]
            versions += tuple(seen for part in parameters for seen in (id(part), part._version))
        if self._quantised is None or versions != self._versions[: len(versions)]:
            self.forget_prepared()
            scale = weight_scale(self.weight)
            self._quantised = scale, self.matrix(quantise(self.weight, self._by_channel(scale), low=-127))
            self._versions = versions
        return self._quantised

    @property
    def weight_scale(self) -> Tensor:
        """Scale of every output channel's weights: [N]."""
        return self._quantised_weight()[0]

    @property
    def weight_codes(self) -> Tensor:
        """Weights int8 [K, N]."""
        return self._quantised_weight()[1]

    def matrix(self, weight: Tensor) -> Tensor:
        """The weight as a matrix [K, N]."""
        return weight.flatten(1).T.contiguous()

    def _by_channel(self, values: Tensor) -> Tensor:
        return values.view(-1, *[1] * (self.weight.ndim - 1))

    def forget_prepared(self) -> None:
        """Drop what was derived from weights, scales and statistics; call after changing any of them."""
        self._quantised = None
        self._prepared.clear()
        self._bias_codes.clear()

    def _apply(self, *arguments: Any, **options: Any) -> "WeightLayer":
        self.forget_prepared()  # a new device or dtype
        return super()._apply(*arguments, **options)

    def _load_from_state_dict(self, *arguments: Any, **options: Any) -> None:
        self.forget_prepared()
        super()._load_from_state_dict(*arguments, **options)

    def product_scale(self) -> Tensor:
        """Value of one unit of the accumulators, by output channel: [N]."""
        return self.activation_scale * self.weight_scale

    def bias_codes(self) -> Tensor:
        """Bias int32 [N] in accumulator units, less the mean error of the cells on calibration data.

        The mean error of a channel is known once its weights are, so taking it out costs nothing
        (bias correction: Nagel et al., ICCV 2019; control variate: arXiv 2102.09642). While training it is
        the frozen offset: codes keep their distribution when the weights' scale follows their maximum.
        """
        scale = self.product_scale()  # first: it drops what belongs to older weights
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
            return torch.zeros(self.weight_codes.shape[1], dtype=torch.float64, device=self.weight.device)
        if self.mean_error is not None:
            return self.mean_error.double()
        return torch.from_numpy(self.error_moments(self.grid)[0]).to(self.weight.device)

    def freeze_compensation(self) -> None:
        """Keep the mean error of the cells as it is now: ``mean_error`` joins the state dict."""
        self.mean_error = self._mean_error()

    def error_moments(self, grid: Grid) -> Moments:
        """Mean and variance of the accumulators' error under ``grid`` on the calibration data: [N], [N]."""
        assert self.code_counts is not None
        return weight_moments(self.code_counts.numpy(), self.weight_codes.cpu().numpy(), grid)

    def accumulate(self, codes: Tensor) -> Tensor:
        """Activation codes int8 [..., K] -> accumulators int32 [..., N], bias included."""
        weights = self.weight_codes  # first: it drops what belongs to older weights
        if self.counting:
            self._keep_sample(codes, weights)
            counts = self._count(codes, per_channel=True)
            self.code_counts = counts if self.code_counts is None else self.code_counts + counts
        if self.grid not in self._prepared:
            self._prepared[self.grid] = MixedWeights(weights, self.grid)
        total = self._prepared[self.grid].matmul(codes) + self.bias_codes()
        if self.recorder is not None:
            self.recorder(self.path, self, codes, weights, total)
        return total

    def run(self, rows: Tensor) -> Tensor:
        """Float rows [..., K] -> float [..., N] through the cells, differentiable where gradients are on."""
        if torch.is_grad_enabled():
            return self._differentiable(rows)
        return self.accumulate(self.quantise_input(rows)).float() * self.product_scale()

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
        self.rows_per_image = values[0].numel() // values.shape[-1]
        self.input_observer.update(values)
        self.output_observer.update(result)
        return result


class ApproxConv2d(WeightLayer):
    """``nn.Conv2d`` (one group) on multiplier cells, as a matrix product over unfolded patches.

    Padding is the activation code 0, as the hardware sees it: a cell with ``table[0, w]`` other than
    zero adds that product.
    """

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__(layer.weight, layer.bias)
        self.kernel_size, self.stride = layer.kernel_size, layer.stride
        self.padding = tuple(int(side) for side in layer.padding)
        self.dilation = layer.dilation

    @staticmethod
    def supports(layer: nn.Conv2d) -> bool:
        """Whether a convolution has one group and plain zero padding."""
        return layer.groups == 1 and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)

    @classmethod
    def from_float(cls, layer: nn.Conv2d) -> "ApproxConv2d":
        """Take over weight, bias and geometry of a Conv2d."""
        return cls(layer)

    def as_rows(self, output: Tensor) -> Tensor:
        """Maps [B, N, H, W] -> rows [B, H * W, N]."""
        return output.flatten(2).transpose(1, 2)

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, C, H, W] -> maps [B, N, H', W']."""
        if self.observing:
            result = F.conv2d(images, self.weight, self.bias, self.stride, self.padding, self.dilation)
            self.rows_per_image = result.shape[-1] * result.shape[-2]
            self.input_observer.update(images)
            self.output_observer.update(result)
            return result
        if torch.is_grad_enabled():
            patches = F.unfold(images, self.kernel_size, self.dilation, self.padding, self.stride)
            sums = self.run(patches.transpose(1, 2))
        else:
            codes = self.quantise_input(images)
            patches = F.unfold(codes.float(), self.kernel_size, self.dilation, self.padding, self.stride)
            sums = self.accumulate(patches.to(torch.int8).transpose(1, 2)).float() * self.product_scale()
        height, width = (
            (side + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1
            for side, pad, dilation, kernel, stride in zip(
                images.shape[-2:], self.padding, self.dilation, self.kernel_size, self.stride, strict=True
            )
        )
        return sums.transpose(1, 2).unflatten(2, (height, width))


class ApproxMatmul(TableLayer):
    """Product of two activations on multiplier cells: [..., M, K] times [..., K, N].

    The second operand takes the place of the weights, stationary in the array, with one scale.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stationary_observer = Observer()
        self.stationary_counts: Tensor | None = None
        self.depth = self.channels = self.heads = 0
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

    def bias_code(self) -> int:
        """Minus the mean error of the cells, in accumulator units: one number for all channels."""
        if not self.compensate or self.code_counts is None:
            return 0
        return -round(float(self.error_moments(self.grid)[0][0]))

    def error_moments(self, grid: Grid) -> Moments:
        """Mean and variance of the accumulators' error under ``grid`` on the calibration data: [1], [1]."""
        assert self.code_counts is not None and self.stationary_counts is not None
        return matmul_moments(self.code_counts.numpy()[0], self.stationary_counts.numpy()[0], self.depth, grid)

    def accumulate(self, codes: Tensor, stationary: Tensor) -> Tensor:
        """int8 [..., M, K] and int8 [..., K, N] -> int32 [..., M, N]."""
        if self.counting:
            self._keep_sample(codes, stationary)
            counts, others = self._count(codes, False), self._count(stationary, False)
            if self.code_counts is not None and self.stationary_counts is not None:
                counts, others = self.code_counts + counts, self.stationary_counts + others
            self.code_counts, self.stationary_counts = counts, others
        total = MixedWeights(stationary, self.grid).matmul(codes) + self.bias_code()
        if self.recorder is not None:
            self.recorder(self.path, self, codes, stationary, total)
        return total

    def integer_product(self, values: Tensor, stationary: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Codes of both operands and their accumulators."""
        codes, held = self.quantise_input(values), quantise(stationary, self.stationary_scale)
        return codes, held, self.accumulate(codes, held)

    def stationary_scales(self) -> Tensor:
        """Scale of the second operand: [1]."""
        return self.stationary_scale.view(1)

    def clamped_stationary(self, stationary: Tensor, codes: Tensor) -> Tensor | None:
        """Flat places where the second operand's quantiser clamps."""
        return clamped(stationary, codes, self.stationary_scale)

    def requantised(self, values: Tensor, stationary: Tensor) -> Tensor:
        """Like ``forward``, but the values of the int8 outputs: codes * ``output_scale`` [..., M, N]."""
        return product(self, values, stationary, None, requantised=True)

    def forward(self, values: Tensor, stationary: Tensor) -> Tensor:
        """[..., M, K] and [..., K, N] -> [..., M, N], differentiable where gradients are on."""
        if not self.observing and torch.is_grad_enabled():
            return product(self, values, stationary, None)
        if not self.observing:
            return self.integer_product(values, stationary)[2].float() * self.product_scale()
        result = values @ stationary
        self.rows_per_image = values.shape[-2]
        self.depth, self.channels = values.shape[-1], stationary.shape[-1]
        self.heads = values[0].numel() // (values.shape[-1] * values.shape[-2])
        self.input_observer.update(values)
        self.stationary_observer.update(stationary)
        self.output_observer.update(result)
        return result
