"""What all layers on multiplier cells share: scales, cells, statistics of the operand codes, requantiser."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from slipstick.errors import UserError
from slipstick.rtl.spec.fixed import Requant

from .mixed import Grid
from .moments import Moments
from .quantise import Observer, QuantConfig, quantise, requantise_codes
from .slopes import GradientConfig


@dataclass
class Sample:
    """A few images' operand codes of a layer, and the gradient of their loss by its accumulators' values.

    ``gradient`` has the shape of the accumulators: float32 [B, ..., M, N].
    """

    gradient: Tensor | None = None
    codes: Tensor | None = None
    stationary: Tensor | None = None


Recorder = Callable[[str, "TableLayer", Tensor, Tensor, Tensor], None]


class TableLayer(nn.Module):
    """What all three kinds share: scales, cells, statistics of the operand codes, requantiser.

    ``grid[k % R][n % C]`` is the cell of reduction index k and output channel n.
    """

    activation_scale: Tensor
    output_scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.grid: Grid = ()
        self.path = ""
        self.observing = True
        self.input_observer, self.output_observer = Observer(), Observer()
        self.code_counts: Tensor | None = None  # how often each activation code met each k: [K or 1, 256]
        self.sample = Sample()
        self.rows_per_image = 0
        self.gradient = GradientConfig()
        self.recorder: Recorder | None = None
        self.counting = False
        self._requant: tuple[Tensor, Requant] | None = None  # and the scale it is for
        self.register_buffer("activation_scale", torch.ones(()))
        self.register_buffer("output_scale", torch.ones(1))

    def set_cells(self, grid: Grid) -> None:
        """Choose the cells; ``grid`` is checked by the caller."""
        self.grid = grid

    def forget_prepared(self) -> None:
        """Drop what was derived from weights, scales and statistics."""

    def freeze_compensation(self) -> None:
        """Keep the offset that compensates the cells' mean error as it is, whatever training does to weights."""

    def integer_product(self, values: Tensor, stationary: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Operand codes int8 [..., M, K] and [..., K, N] of float values, and their accumulators [..., M, N]."""
        raise NotImplementedError

    def stationary_scales(self) -> Tensor:
        """Scale of the second operand's codes: [N] or [1]."""
        raise NotImplementedError

    def clamped_stationary(self, stationary: Tensor, codes: Tensor) -> Tensor | None:
        """Flat places where the second operand's quantiser, which gave ``codes``, clamps; None where it never does."""
        raise NotImplementedError

    def calibrated(self, config: QuantConfig) -> None:
        """Fix the scales from what was observed and leave the observing state."""
        device = self.activation_scale.device
        self.activation_scale = torch.tensor(self.input_observer.scale(config), device=device)
        self.output_scale = torch.tensor([self.output_observer.scale(config)], device=device)
        self.observing = False

    def product_scale(self) -> Tensor:
        """Value of one unit of the accumulators: [N] or [1]."""
        raise NotImplementedError

    def error_moments(self, grid: Grid) -> Moments:
        """Mean and variance of the accumulators' error, by channel, in units of one."""
        raise NotImplementedError

    def requant(self) -> Requant:
        """The requantiser from accumulators to int8 outputs, one entry a channel (or one for all).

        Raises UserError when no requantiser has the scale that weights this large or not finite need.
        """
        scale = (self.product_scale() / self.output_scale).detach().double()
        if self._requant is None or not torch.equal(self._requant[0], scale):
            try:
                self._requant = scale, Requant.from_scale(scale.cpu().numpy())
            except ValueError as error:
                raise UserError(f"layer {self.path!r}: {error}; its weights are too large or not finite") from error
        return self._requant[1]

    def output_codes(self, accumulators: Tensor) -> Tensor:
        """Requantise accumulators int32 [..., N] to int8 [..., N], as the hardware does."""
        return requantise_codes(accumulators, self.requant())

    def quantise_input(self, values: Tensor) -> Tensor:
        """Activation codes int8 of float values."""
        return quantise(values, self.activation_scale)

    def as_rows(self, output: Tensor) -> Tensor:
        """An output of ``forward``, or a gradient by it, in the shape of the accumulators."""
        return output

    def _keep_sample(self, codes: Tensor, stationary: Tensor) -> None:
        if self.sample.codes is None:
            self.sample.codes, self.sample.stationary = codes, stationary

    def _count(self, codes: Tensor, per_channel: bool) -> Tensor:
        flat = codes.contiguous().view(torch.uint8).long()
        flat = flat.flatten(0, -2) if per_channel else flat.flatten()[:, None]
        offset = 256 * torch.arange(flat.shape[1], device=flat.device)
        counts = torch.bincount((flat + offset).flatten(), minlength=256 * flat.shape[1])
        return counts.view(flat.shape[1], 256).double().cpu()
