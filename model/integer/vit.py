"""A timm Vision Transformer that computes nothing but whole numbers between int8 image and integer logits."""

from itertools import pairwise
from typing import Any

import torch
from timm.layers import resample_abs_pos_embed
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from slipstick.errors import UserError

from ..layers.convolution import ApproxConv2d
from ..layers.derived import Derived
from ..layers.linear import ApproxLinear
from ..vit_parts import stem
from .codes import Codes, straight_through
from .norm import IntegerLayerNorm
from .products import RESIDUAL_RANGE, Requantiser, accumulate, add, constant, convolve, half_sum, token_mean


class IntegerVit(VisionTransformer):
    """A ViT converted with ``approximate_(..., integer=True)``.

    ``forward`` takes int8 images and gives int32 logits of ``logit_scale``. For float images it does the
    rounding that an image sensor's host would, and gives the logits' values, differentiable where
    gradients are on: these numbers are those of the integers, bit for bit.
    """

    patch_embed: Any  # of timm, which torch cannot type
    head_dist: Any
    stream_scale: Tensor
    logit_scale: Tensor
    stem: tuple[Requantiser, ...]
    to_logits: tuple[Requantiser, Requantiser]  # of the head, and of DeiT's second one
    constants: dict[tuple[int, int], Derived[tuple[Tensor, Tensor | None]]]  # by rows and columns of patches

    def image_codes(self, images: Tensor) -> Tensor:
        """int8 codes [B, 3, H, W] of float images, as the first layer takes them."""
        return self._convolutions()[0][0].quantise_input(images)

    def forward(self, images: Tensor) -> Tensor:  # type: ignore[override]  # no masks
        """Images [B, 3, H, W], int8 or float -> logits [B, classes], int32 or float."""
        first = self._convolutions()[0][0]
        if not images.is_floating_point():
            return self.integer(Codes(images, first.activation_scale)).codes
        codes = self.image_codes(images)
        values = codes.float() * first.activation_scale if torch.is_grad_enabled() else None
        logits = self.integer(Codes(codes, first.activation_scale, values))
        return logits.codes.float() * logits.scale if logits.values is None else logits.values

    def integer(self, images: Codes) -> Codes:
        """Image codes [B, 3, H, W] -> logit codes [B, classes]."""
        x = self.blocks(self._embed(*self._stem(images)))
        if "head_dist" in self._modules:  # DeiT's second head and token
            return half_sum(*(
                self._logits(layer, x.map(lambda part, place=place: part[:, place]), place)
                for place, layer in enumerate((self.head, self.head_dist))
            ))  # fmt: skip
        prefix = 0 if self.pool_include_prefix else self.num_prefix_tokens
        if self.global_pool == "avg":
            x = token_mean(x.map(lambda part: part[:, prefix:]), x.codes.shape[1] - prefix)
        elif self.global_pool == "max":
            x = x.map(lambda part: part[:, prefix:].amax(1))
        else:
            x = x.map(lambda part: part[:, 0])
        return self._logits(self.head, x)

    def _logits(self, head: Any, x: Codes, place: int = 0) -> Codes:
        """Stream codes [B, D] of a token -> logit codes [B, classes] of the head at this ``place``."""
        assert isinstance(head, ApproxLinear)
        norm = self.fc_norm if isinstance(self.fc_norm, IntegerLayerNorm) else self.norm
        assert isinstance(norm, IntegerLayerNorm)
        return self.to_logits[place](accumulate(head, norm(x, head.activation_scale, place)), self.logit_scale)

    def _convolutions(self) -> list[tuple[ApproxConv2d, bool]]:
        """The stem's convolutions, each with whether a ReLU follows."""
        found: list[tuple[ApproxConv2d, bool]] = []
        for module in stem(self):
            if isinstance(module, ApproxConv2d):
                found.append((module, False))
            elif isinstance(module, nn.ReLU):
                found[-1] = found[-1][0], True
        return found

    def _stem(self, images: Codes) -> tuple[Codes, tuple[int, int]]:
        """Image codes -> stream codes of the patches [B, T, D], and their rows and columns."""
        layers = self._convolutions()
        for place, ((layer, _), requantiser) in enumerate(zip(layers, self.stem, strict=True)):
            rows, size = convolve(layer, images)
            if place + 1 == len(layers):
                break
            codes = requantiser(rows, layers[place + 1][0].activation_scale)
            images = codes.map(lambda part, size=size: part.transpose(1, 2).unflatten(2, size))
        return requantiser(rows, self.stream_scale), size

    def _embed(self, x: Codes, size: tuple[int, int]) -> Codes:
        """Tokens before the patches and position embeddings, constants in the stream's scale."""
        if not self.dynamic_img_size and size != tuple(self.patch_embed.grid_size):
            raise UserError(f"the model takes images of {self.patch_embed.img_size}; dynamic_img_size is off")
        made = self.constants.setdefault(size, Derived())
        position, tokens = made(lambda: self._embeddings(size), self.stream_scale, self.pos_embed, *prefix_tokens(self))
        if tokens is not None and not self.no_embed_class:
            x = self._prepend(x, tokens)
        values = None if x.values is None else x.values + self._position(size)
        x = straight_through(values, add(Codes(x.codes, x.scale), Codes(position, x.scale)).codes, x.scale)
        if tokens is not None and self.no_embed_class:
            x = self._prepend(x, tokens)
        return x

    def _position(self, size: tuple[int, int]) -> Tensor:
        """Position embeddings float [1, T, D] for so many rows and columns of patches."""
        assert self.pos_embed is not None
        if size == tuple(self.patch_embed.grid_size):
            return self.pos_embed
        prefix = 0 if self.no_embed_class else self.num_prefix_tokens
        return resample_abs_pos_embed(
            self.pos_embed, new_size=list(size), old_size=list(self.patch_embed.grid_size), num_prefix_tokens=prefix
        )

    def _embeddings(self, size: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
        tokens = prefix_tokens(self)
        together = constant(torch.cat(tokens, 1), self.stream_scale) if tokens else None
        return constant(self._position(size), self.stream_scale), together

    def _prepend(self, x: Codes, tokens: Tensor) -> Codes:
        batch = len(x.codes)
        codes = torch.cat([tokens.expand(batch, -1, -1), x.codes], 1)
        own = None if x.values is None else torch.cat(prefix_tokens(self), 1).expand(batch, -1, -1)
        values = None if x.values is None or own is None else torch.cat([own, x.values], 1)
        return straight_through(values, codes, x.scale)


def prefix_tokens(model: nn.Module) -> list[Tensor]:
    """The tokens that a ViT puts before its patches: of the class, of distillation, registers; each [1, N, D]."""
    found = (getattr(model, name, None) for name in ("cls_token", "dist_token", "reg_token"))
    return [token for token in found if token is not None]


def stem_requantisers(model: IntegerVit) -> tuple[Requantiser, ...]:
    """One requantiser after every convolution of the stem: a ReLU is its lower limit, the last gives the stream."""
    layers = model._convolutions()
    inner = [
        Requantiser(0 if relu else following.low, following.high) for (_, relu), (following, _) in pairwise(layers)
    ]
    return *inner, Requantiser(*RESIDUAL_RANGE)
