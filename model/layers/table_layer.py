"""What all layers on multiplier cells share: scales, cells, statistics of the operand codes, requantiser."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from slipstick.errors import UserError
from slipstick.rtl.spec.fixed import MULTIPLIER_BITS, Requant

from ..kernels.ops import NotFinite
from .config import QuantConfig
from .heads import HeadGrids
from .mixed import Grid
from .moments import Moments
from .observe import Observer
from .quantise import quantise, requantise_codes
from .ranges import Named, OperandChoice, OperandRange, OutputError, seen_range, single_method
from .routing import Hidden
from .sample import IntegerProduct, Sample
from .slopes import GradientConfig

FINEST = 2.0 ** (2 - MULTIPLIER_BITS)
"""Of an accumulator's unit, the least that an output code may stand for: no sum shows less, no requantiser gives it."""
Cells = Grid | HeadGrids
Recorder = Callable[[str, "TableLayer", Tensor, Tensor, Tensor], None]


SCALES = (
    "activation_scale",
    "output_scale",
    "stationary_scale",
    "weight_clip",
    "mean_error",
)  # buffers that keep their type


class TableLayer(Hidden, ABC):
    """What all kinds share: scales, cells, statistics of the operand codes, requantiser.

    ``grid[k % R][n % C]`` is the cell of reduction index k and output channel n. A layer computes
    nothing before it is calibrated, except while calibration observes it in float.
    """

    activation_scale: Tensor
    output_scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.begin()

    def begin(self, device: torch.device | None = None) -> None:
        """Give a module of this class, new or changed in place, what a layer on cells needs beside its parameters."""
        self.grid: Cells = ()
        self.path = ""
        self.observing, self.ready = False, False
        self.chained = False  # outputs are the values of int8 codes, which the next product takes as they are
        self.passive = False  # observed without notice: another pass over inputs that were seen
        self.ranges: tuple[OperandRange, ...] = ()
        self.power_of_two = False  # whether the activations' scale must be one
        self.low, self.high = -128, 127  # activation codes
        self.begin_observing()
        self.observing = False
        self.code_counts: Tensor | None = None  # how often each activation code met each k: [K or 1, 256]
        self.gradient = GradientConfig()
        self.recorder: Recorder | None = None
        self.counting = False
        self._requant: tuple[Tensor, Requant] | None = None  # and the scale it is for
        self.register_buffer("activation_scale", torch.ones((), dtype=torch.float32, device=device))
        self.register_buffer("output_scale", torch.ones(1, dtype=torch.float32, device=device))

    def begin_observing(self) -> None:
        """Compute in float from now on and forget what calibration saw before."""
        self.input_observer, self.output_observer = Observer(), Observer()
        self.sample = Sample()
        self.seen = 0  # rows of the first observed batch
        self.measuring = True  # that batch is running
        self.rows_per_image = 0
        self.observing = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the layer. Raises UserError when it is not calibrated."""
        if not self.ready and not self.observing:
            raise UserError(f"layer {self.path!r} is not calibrated; run calibrate on data that reaches it")
        return super().__call__(*args, **kwargs)

    def set_cells(self, grid: Cells) -> None:
        """Choose the cells; ``grid`` is checked by the caller."""
        self.grid = grid

    def check_cells(self, grid: Cells) -> None:
        """UserError for cells by head on a layer without heads."""
        if isinstance(grid, HeadGrids):
            raise UserError(f"layer {self.path!r} has no heads; PerHead is for products of attention [B, H, M, K]")

    def forget_prepared(self) -> None:
        """Drop what was derived from weights, scales and statistics."""

    def forget_counts(self) -> None:
        """Drop the statistics and the sample of the operand codes."""
        self.code_counts = self.sample.codes = self.sample.stationary = None

    def forget_products(self) -> None:
        """Drop weights prepared for cells tried so far: they cost memory, and can be made again."""

    def trained(self) -> Tensor | None:
        """The parameter that takes the gradient of the second operand."""
        return None

    def hold(self, trained: Tensor) -> None:
        """Keep the offset that compensates the cells' mean error as it is, whatever training does to ``trained``."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "TableLayer":
        """A new device; scales keep their type, whatever becomes of the parameters."""
        own = {name: value for name, value in self._buffers.items() if name in SCALES and value is not None}
        super()._apply(fn, recurse)
        for name, value in own.items():
            self._buffers[name] = value.to(self.get_buffer(name).device)
        return self

    def freeze_compensation(self) -> None:
        """Bring that offset up to date and hold it."""

    @abstractmethod
    def integer_product(self, values: Tensor, stationary: Tensor) -> IntegerProduct:
        """The product of float values [..., M, K] and [..., K, N]."""

    @abstractmethod
    def clamped_stationary(self, stationary: Tensor, codes: Tensor) -> Tensor | None:
        """Flat places where the second operand's quantiser, which gave ``codes``, clamps; None where it never does."""

    def calibrated(self, config: QuantConfig) -> None:
        """Fix the scales from what was observed and leave the observing state."""
        self.low, self.high = -config.activation_limit - 1, config.activation_limit
        error = self._output_error() if config.method == "output" else None
        with torch.no_grad():
            operands = self.choose_operands(config, error)
            name, range_ = self._output_range(config, error)
        finest = FINEST * float(self.product_scale().detach().max())
        self.output_scale = torch.tensor([max(range_ / self.high, finest)], device=self.activation_scale.device)
        self.ranges = (*operands, seen_range("output", self.output_observer, range_, name, self.high))
        self.sample.values = self.sample.held = self._requant = None
        self.observing, self.ready = False, True

    @abstractmethod
    def choose_operands(self, config: QuantConfig, error: OutputError | None) -> tuple[OperandRange, ...]:
        """Fix the scales of both operands, by the error of the outputs where it can be told, and say what they clip."""

    @abstractmethod
    def float_product(self, values: Tensor, held: Tensor) -> Tensor:
        """The float product, without bias, in the shape of the accumulators: [..., M, N]."""

    @torch.no_grad()
    def _output_error(self) -> OutputError | None:
        """The measure of what operands do to the outputs on the sample; None without a sample."""
        values, held = self.sample.values, self.sample.held
        return (
            None
            if values is None or held is None
            else OutputError(self.float_product, values, held, self.sample.gradient)
        )

    def _output_range(self, config: QuantConfig, error: OutputError | None) -> Named:
        observer = self.output_observer
        if error is None or observer.largest == 0:
            return single_method(observer, config, self.high)
        bias = getattr(self, "bias", None)
        outputs = error.reference if bias is None else error.reference + bias
        choice = OperandChoice(outputs, error.weight, observer, self.high, config)
        return choice.best(
            lambda values: float((values - outputs).square_().mul_(error.weight).sum(dtype=torch.float64))
        )

    def choose_activations(
        self, config: QuantConfig, error: OutputError | None, held: Tensor | None
    ) -> tuple[float, OperandRange]:
        """Scale of the first operand, against the second as its codes ``held`` stand for it, and its report."""
        observer = self.input_observer
        if error is None or held is None or observer.largest == 0:
            name, range_ = single_method(observer, config, self.high, self.power_of_two)
        else:
            choice = OperandChoice(
                error.operands[0], error.sensitivity(0), observer, self.high, config, self.power_of_two
            )
            name, range_ = choice.best(lambda values: error(values, held))
        return range_ / self.high, seen_range("input", observer, range_, name, self.high)

    def keep(self, values: Tensor, held: Tensor) -> None:
        """Keep the operands of the first observed run as the sample that ranges are chosen on."""
        if self.measuring and not self.passive and self.sample.values is None:
            self.sample.values, self.sample.held = values.detach().float(), held.detach().float()

    def count_rows(self, rows: int) -> None:
        """Count what the first observed batch makes the layer do."""
        if self.measuring and not self.passive:
            self.seen += rows

    def measured(self, images: int) -> None:
        """Work of one image, from what was seen while ``images`` of them passed once, the first batch."""
        self.rows_per_image = -(-self.seen // images)
        self.sample.images, self.measuring = images, False

    def observe(self, observer: Observer, values: Tensor, what: str) -> None:
        """Add values to an observer. Raises UserError for NaN or Inf."""
        if self.passive:
            return
        if not torch.isfinite(values).all():
            raise UserError(f"layer {self.path!r}: its {what} on the calibration data holds NaN or Inf")
        if self.activation_scale.device != values.device:
            self.to(values.device)
        observer.update(values)

    @abstractmethod
    def multiply(self, codes: Tensor, stationary: Tensor, grid: Cells) -> Tensor:
        """Sums int32 [..., M, N] of ``grid`` for operand codes as the recorder gets them, without bias."""

    @abstractmethod
    def product_scale(self) -> Tensor:
        """Value of one unit of the accumulators: [N] or [1]."""

    @abstractmethod
    def error_moments(self, grid: Cells) -> Moments:
        """Mean and variance of the accumulators' error, by channel, in units of one."""

    def requant(self, unit: Tensor | None = None) -> Requant:
        """The requantiser from accumulators, of ``unit`` or as they are now, to output codes: one a channel or in all.

        Raises UserError when no requantiser has the scale that weights this large or not finite need.
        """
        unit = self.product_scale() if unit is None else unit
        scale = (unit / self.output_scale).detach().double()
        if self._requant is None or not torch.equal(self._requant[0], scale):
            try:
                self._requant = scale, Requant.from_scale(scale.cpu().numpy(), self.low, self.high)
            except ValueError as error:
                raise UserError(f"layer {self.path!r}: {error}; its weights are too large or not finite") from error
        return self._requant[1]

    def output_codes(self, accumulators: Tensor, unit: Tensor | None = None) -> Tensor:
        """Requantise accumulators int32 [..., N] to int8 [..., N], as the hardware does."""
        return requantise_codes(accumulators, self.requant(unit))

    @property
    def activation_range(self) -> tuple[float, float]:
        """Least and largest value that activation codes stand for."""
        return self.low * float(self.activation_scale), self.high * float(self.activation_scale)

    def quantise_input(self, values: Tensor) -> Tensor:
        """Activation codes int8 of float values. Raises UserError for NaN and Inf, which no code stands for."""
        return self.quantised_operand(values, self.activation_scale, "input", self.low, self.high)

    def quantised_operand(self, values: Tensor, scale: Tensor, what: str, low: int, high: int) -> Tensor:
        """Codes int8 of ``what``. Raises UserError for NaN and Inf, naming layer and examples."""
        try:
            return quantise(values, scale, low, high)
        except NotFinite as error:
            where = ""
            if values.ndim > 1:
                odd = (~torch.isfinite(values)).flatten(1).any(1).nonzero()[:, 0].tolist()
                where = f", in {', '.join(map(str, odd[:5]))}{', ...' * (len(odd) > 5)} of {len(values)} examples"
            raise UserError(f"layer {self.path!r}: its {what} holds NaN or Inf{where}") from error

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


def table_layers(model: nn.Module) -> dict[str, TableLayer]:
    """The converted layers of a model by name, in order of registration."""
    return {name: module for name, module in model.named_modules() if isinstance(module, TableLayer)}
