"""Two-dimensional convolutions whose products come from multiplier cells."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .mixin import change_class_
from .weights import WeightLayer


class ApproxConv2d(WeightLayer):
    """``nn.Conv2d`` with zero padding on multiplier cells, as a matrix product over unfolded patches.

    Padding is the activation code 0, as the hardware sees it: a cell with ``table[0, w]`` other than
    zero adds that product. A row is the patch of all input channels, so every group reads a part of it.
    """

    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: Any
    dilation: tuple[int, ...]

    @classmethod
    def take_over_(cls, layer: nn.Conv2d) -> "ApproxConv2d":
        """Turn a Conv2d with zero padding, in place, into one on cells."""
        changed = change_class_(layer, cls)
        changed.begin()
        return changed

    def begin(self, device: torch.device | None = None) -> None:
        """Give a module with the parameters and the geometry of a Conv2d what it needs beside them."""
        super().begin(device)
        self.margin = _margin(self.padding, self.kernel_size, self.dilation)

    def as_rows(self, output: Tensor) -> Tensor:
        """Maps [B, N, H, W] -> rows [B, H * W, N]."""
        return output.flatten(2).transpose(1, 2)

    def patches(self, images: Tensor) -> Tensor:
        """Images [B, C, H, W] of any type, padded already, -> rows [B, H' * W', K]."""
        if images.is_floating_point():
            return F.unfold(images, self.kernel_size, self.dilation, 0, self.stride).transpose(1, 2)
        images = images.contiguous()
        batch, channels, down, right = images.stride()
        windows = images.as_strided(
            (len(images), *self.map_size(images), images.shape[1], *self.kernel_size),
            (batch, down * self.stride[0], right * self.stride[1], channels,
             down * self.dilation[0], right * self.dilation[1]),
        )  # fmt: skip
        return windows.flatten(3).flatten(1, 2)

    def map_size(self, images: Tensor) -> tuple[int, int]:
        """Height and width of the output for padded images."""
        height, width = (
            (side - dilation * (kernel - 1) - 1) // stride + 1
            for side, dilation, kernel, stride in zip(
                images.shape[-2:], self.dilation, self.kernel_size, self.stride, strict=True
            )
        )
        return height, width

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, C, H, W] or [C, H, W] -> maps [B, N, H', W'] or [N, H', W']."""
        if images.ndim == 3:
            return self(images[None])[0]
        if self.observing:
            self.observe(self.input_observer, images, "input")
            result = self._convolve(images, self.weight, self.bias)
            self.count_rows(len(result) * result.shape[-1] * result.shape[-2])
            self.observe(self.output_observer, result, "output")
            self.keep(images, self.weight)
            return result
        own = images.dtype
        padded = (F.pad(images, self.margin) if any(self.margin) else images).float()
        if torch.is_grad_enabled():
            rows = self.run(self.patches(padded))
        else:  # unfolded codes are those of the unfolded image
            rows = self.values(self.patches(self.quantise_input(padded)))
        return rows.transpose(1, 2).unflatten(2, self.map_size(padded)).to(own)

    def float_product(self, values: Tensor, held: Tensor) -> Tensor:
        """Images [B, C, H, W] and weights [N, C / G, h, w] -> rows [B, H' * W', N]."""
        return self.as_rows(self._convolve(values, held, None))

    def _convolve(self, images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        images = F.pad(images, self.margin) if any(self.margin) else images
        return F.conv2d(images, weight, bias, self.stride, 0, self.dilation, self.groups)


def pair(value: Any) -> tuple[int, int]:
    """What torch takes as one number or two, as two."""
    return (value[0], value[-1]) if isinstance(value, Sequence) else (value, value)


def _margin(padding: Any, kernel_size: Sequence[int], dilation: Sequence[int]) -> list[int]:
    """Zeros left, right, above and below the image; 'same' puts the odd one right and below, as torch does."""
    if padding == "same":
        total = [d * (k - 1) for d, k in zip(dilation, kernel_size, strict=True)]
        sides = [(whole // 2, whole - whole // 2) for whole in total]
    else:
        sides = [(side, side) for side in pair(0 if padding == "valid" else padding)]
    return [*sides[1], *sides[0]]
