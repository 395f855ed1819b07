"""A timm Vision Transformer that computes nothing but whole numbers between int8 image and integer logits."""

from itertools import pairwise

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ..layers.convolution import ApproxConv2d
from ..layers.derived import Derived
from ..layers.linear import ApproxLinear
from ..vit_parts import stem
from .codes import Codes, straight_through
from .norm import IntegerLayerNorm
from .products import RESIDUAL_RANGE, Requantiser, accumulate, add, constant, convolve, token_mean


class IntegerVit(VisionTransformer):
    """A ViT converted with ``approximate_(..., integer=True)``.

    ``forward`` takes int8 images and gives int32 logits of ``logit_scale``. For float images it does the
    rounding that an image sensor's host would, and gives the logits' values, differentiable where
    gradients are on: these numbers are those of the integers, bit for bit.
    """

    stream_scale: Tensor
    logit_scale: Tensor
    stem: tuple[Requantiser, ...]
    to_logits: Requantiser
    constants: Derived[tuple[Tensor, Tensor | None]]

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
        x = self.blocks(self._embed(self._stem(images)))
        head, prefix = self.head, self.num_prefix_tokens
        assert isinstance(head, ApproxLinear)
        if self.global_pool == "avg":
            x = token_mean(x.map(lambda part: part[:, prefix:]), x.codes.shape[1] - prefix)
        else:
            x = x.map(lambda part: part[:, 0])
        norm = self.fc_norm if isinstance(self.fc_norm, IntegerLayerNorm) else self.norm
        assert isinstance(norm, IntegerLayerNorm)
        return self.to_logits(accumulate(head, norm(x, head.activation_scale)), self.logit_scale)

    def _convolutions(self) -> list[tuple[ApproxConv2d, bool]]:
        """The stem's convolutions, each with whether a ReLU follows."""
        found: list[tuple[ApproxConv2d, bool]] = []
        for module in stem(self):
            if isinstance(module, ApproxConv2d):
                found.append((module, False))
            elif isinstance(module, nn.ReLU):
                found[-1] = found[-1][0], True
        return found

    def _stem(self, images: Codes) -> Codes:
        """Image codes -> stream codes of the patches [B, T, D]."""
        layers = self._convolutions()
        for place, ((layer, _), requantiser) in enumerate(zip(layers, self.stem, strict=True)):
            rows, size = convolve(layer, images)
            if place + 1 == len(layers):
                break
            codes = requantiser(rows, layers[place + 1][0].activation_scale)
            images = codes.map(lambda part, size=size: part.transpose(1, 2).unflatten(2, size))
        return requantiser(rows, self.stream_scale)

    def _embed(self, x: Codes) -> Codes:
        """Class token and position embeddings, constants in the stream's scale."""
        position, token = self.constants(self._embeddings, self.stream_scale, self.pos_embed, self.cls_token)
        if token is not None and not self.no_embed_class:
            x = self._prepend(x, token)
        values = None if x.values is None or self.pos_embed is None else x.values + self.pos_embed
        x = straight_through(values, add(Codes(x.codes, x.scale), Codes(position, x.scale)).codes, x.scale)
        if token is not None and self.no_embed_class:
            x = self._prepend(x, token)
        return x

    def _embeddings(self) -> tuple[Tensor, Tensor | None]:
        assert self.pos_embed is not None
        token = None if self.cls_token is None else constant(self.cls_token, self.stream_scale)
        return constant(self.pos_embed, self.stream_scale), token

    def _prepend(self, x: Codes, token: Tensor) -> Codes:
        assert self.cls_token is not None
        batch = len(x.codes)
        codes = torch.cat([token.expand(batch, -1, -1), x.codes], 1)
        values = None if x.values is None else torch.cat([self.cls_token.expand(batch, -1, -1), x.values], 1)
        return straight_through(values, codes, x.scale)


def stem_requantisers(model: IntegerVit) -> tuple[Requantiser, ...]:
    """One requantiser after every convolution of the stem: a ReLU is its lower limit, the last gives the stream."""
    layers = model._convolutions()
    inner = [
        Requantiser(0 if relu else following.low, following.high) for (_, relu), (following, _) in pairwise(layers)
    ]
    return *inner, Requantiser(*RESIDUAL_RANGE)
