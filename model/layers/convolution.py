"""Two-dimensional convolutions whose products come from multiplier cells."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .weights import WeightLayer


class ApproxConv2d(WeightLayer):
    """``nn.Conv2d`` with zero padding on multiplier cells, as a matrix product over unfolded patches.

    Padding is the activation code 0, as the hardware sees it: a cell with ``table[0, w]`` other than
    zero adds that product. A row is the patch of all input channels, so every group reads a part of it.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor | None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
    ) -> None:
        super().__init__(weight, bias, groups)
        self.kernel_size = tuple(weight.shape[2:])
        self.stride, self.dilation = _pair(stride), _pair(dilation)
        self.margin = _margin(padding, self.kernel_size, self.dilation)

    @classmethod
    def from_float(cls, layer: nn.Conv2d) -> "ApproxConv2d":
        """Take over weight, bias and geometry of a Conv2d."""
        return cls(layer.weight, layer.bias, layer.stride, layer.padding, layer.dilation, layer.groups)

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
            images = F.pad(images, self.margin) if any(self.margin) else images
            result = F.conv2d(images, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)
            self.seen += len(result) * result.shape[-1] * result.shape[-2]
            self.observe(self.output_observer, result, "output")
            return result
        padded = F.pad(images, self.margin) if any(self.margin) else images
        if torch.is_grad_enabled():
            rows = self.run(self.patches(padded))
        else:  # unfolded codes are those of the unfolded image
            rows = self.values(self.patches(self.quantise_input(padded)))
        return rows.transpose(1, 2).unflatten(2, self.map_size(padded))


def _pair(value: Any) -> tuple[int, int]:
    return (value[0], value[-1]) if isinstance(value, Sequence) else (value, value)


def _margin(padding: Any, kernel_size: Sequence[int], dilation: Sequence[int]) -> list[int]:
    """Zeros left, right, above and below the image; 'same' puts the odd one right and below, as torch does."""
    if padding == "same":
        total = [d * (k - 1) for d, k in zip(dilation, kernel_size, strict=True)]
        sides = [(whole // 2, whole - whole // 2) for whole in total]
    else:
        sides = [(side, side) for side in _pair(0 if padding == "valid" else padding)]
    return [*sides[1], *sides[0]]
