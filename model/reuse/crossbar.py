"""A matrix product as crossbars compute it: 1-bit inputs, few bits a cell, noisy conductances, a coarse ADC.

Inputs are int8 in two's complement, one bit at a time. Weights are int8 as sign and magnitude: a slice of bits a cell,
the sign tells which of two columns holds it, the other one is off; the ADC sees the difference. Sums of at most
64 rows are converted; the rest is digital and exact. The paper names bits and percentages only; the pair of
columns and what the percentages are taken of (standard deviation of a cell's conductance) are our reading.
"""

from dataclasses import dataclass
from math import ceil

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slipstick.errors import UserError

INPUT_BITS, MAGNITUDE_BITS, ROWS = 8, 7, 64
ON_OFF = 100.0  # 100 kOhm and 10 MOhm


@dataclass(frozen=True)
class CrossbarConfig:
    """Bits of the ADC, relative deviations of reading and writing a cell, and bits a cell.

    Raises UserError for values that no crossbar has.
    """

    adc_bits: int = 6
    read: float = 0.1
    write: float = 0.2
    cell_bits: int = 2

    def __post_init__(self) -> None:
        for name, good, wanted in (
            ("adc_bits", 2 <= self.adc_bits <= 24, "2 to 24"),
            ("read", 0 <= self.read < 1, "a fraction below 1"),
            ("write", 0 <= self.write < 1, "a fraction below 1"),
            ("cell_bits", 1 <= self.cell_bits <= 4, "1 to 4"),
        ):
            if not good:
                raise UserError(f"crossbar {name} is {getattr(self, name)}; it must be {wanted}")

    @property
    def slices(self) -> int:
        """Cells a weight."""
        return ceil(MAGNITUDE_BITS / self.cell_bits)


def codes(values: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Whole numbers in [-127, 127] as floats, and their scale; one scale over ``dims``."""
    scale = values.abs().amax(dims, keepdim=True).clamp_min(1e-12) / 127
    return (values / scale).round(), scale


class CrossbarProduct(nn.Module):
    """``values @ weights`` on crossbars, without gradients.

    ``observing`` widens the full scale of every ADC, one an input bit and slice, to the largest sum that comes;
    afterwards larger sums saturate. All noise comes from ``seed``: writing at every ``program``, reading at every call.
    """

    full_scale: Tensor

    def __init__(self, config: CrossbarConfig, seed: int) -> None:
        super().__init__()
        self.config, self.observing = config, False
        self.generator = torch.Generator().manual_seed(seed)
        self.register_buffer("full_scale", torch.zeros(INPUT_BITS, config.slices))

    def program(self, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Write float weights [..., K, N]: conductances of both columns [..., K, slices * N] and scale [..., 1, N].

        Conductances are in units of the highest.
        """
        whole, scale = codes(weights, (-2,))
        levels = (1 << self.config.cell_bits) - 1
        places = torch.arange(self.config.slices) * self.config.cell_bits
        slices = (whole.abs().int()[..., None, :] >> places[:, None]) & levels  # [..., K, slices, N]
        ideal = 1 / ON_OFF + slices / levels * (1 - 1 / ON_OFF)
        off = torch.full_like(ideal, 1 / ON_OFF)
        positive = (whole >= 0)[..., None, :]
        pair = [torch.where(positive, ideal, off), torch.where(positive, off, ideal)]
        if self.config.write:
            pair = [one * (1 + self.config.write * torch.randn(one.shape, generator=self.generator)) for one in pair]
        return pair[0].flatten(-2), pair[1].flatten(-2), scale

    @torch.no_grad()
    def forward(self, values: Tensor, positive: Tensor, negative: Tensor, scale: Tensor) -> Tensor:
        """Values [..., M, K] on programmed weights -> float [..., M, N]."""
        config, rows, depth, channels = self.config, values.shape[-2], values.shape[-1], scale.shape[-1]
        whole, input_scale = codes(values, (-2, -1))
        places = torch.arange(INPUT_BITS)
        bits = ((whole.int()[..., None, :] & 0xFF) >> places[:, None]) & 1  # [..., M, bits, K]
        bits = bits.float().flatten(-3, -2)
        bit_weight = 2.0**places
        bit_weight[-1] *= -1
        slice_weight = 2.0 ** (torch.arange(config.slices) * config.cell_bits)
        per_level = ((1 << config.cell_bits) - 1) / (1 - 1 / ON_OFF)
        total = torch.zeros(())
        for first in range(0, depth, ROWS):
            block, part = slice(first, first + ROWS), bits[..., first : first + ROWS]
            up, down = positive[..., block, :], negative[..., block, :]
            sums = part @ ((up - down) * per_level)
            if config.read:
                deviation = (part @ (up.square() + down.square())).sqrt_()
                noise = torch.randn(sums.shape, generator=self.generator)
                sums.addcmul_(deviation, noise, value=config.read * per_level)
            converted, step = self._convert(sums.unflatten(-1, (-1, channels)).unflatten(-3, (rows, INPUT_BITS)))
            weight = torch.outer(bit_weight, slice_weight) * step
            total = total + (weight.view(1, -1) @ converted.flatten(-3, -2)).squeeze(-2)
        return total * input_scale * scale

    def _convert(self, sums: Tensor) -> tuple[Tensor, Tensor]:
        """What the ADC makes of sums [..., bits, slices, N], in place: 2^bits - 1 levels between the full scales.

        Returns whole numbers, and the step [bits, slices].
        """
        if self.observing:
            self.full_scale = torch.maximum(self.full_scale, sums.abs().amax(-1).flatten(0, -3).amax(0))
        half = (1 << (self.config.adc_bits - 1)) - 1
        step = (self.full_scale / half).clamp_min(1e-12)
        return sums.div_(step[..., None]).round_().clamp_(-half, half), step


class CrossbarLinear(nn.Module):
    """A Linear layer whose weights were written once."""

    def __init__(self, layer: nn.Linear, config: CrossbarConfig, seed: int) -> None:
        super().__init__()
        self.product, self.bias = CrossbarProduct(config, seed), layer.bias
        with torch.no_grad():
            self.programmed = self.product.program(layer.weight.T)

    def forward(self, values: Tensor) -> Tensor:
        """Rows [..., M, K] -> [..., M, N]."""
        result = self.product(values, *self.programmed)
        return result if self.bias is None else result + self.bias


class CrossbarMatmul(nn.Module):
    """The product of two activations; the second is written anew for every image."""

    def __init__(self, config: CrossbarConfig, seed: int) -> None:
        super().__init__()
        self.product = CrossbarProduct(config, seed)

    @torch.no_grad()
    def forward(self, values: Tensor, stationary: Tensor) -> Tensor:
        """[..., M, K] and [..., K, N] -> [..., M, N]."""
        return self.product(values, *self.product.program(stationary))


def crossbar_attention(
    query: Tensor, key: Tensor, value: Tensor, scale: float, qk: CrossbarMatmul, av: CrossbarMatmul
) -> Tensor:
    """softmax(scale QK^T) V of heads [B, H, T, E] with both products on crossbars."""
    return av(F.softmax(scale * qk(query, key.mT), -1), value)
