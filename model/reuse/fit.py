"""A start for training in closed form: projections that give back, as well as they can, what attention added.

Our own addition; the paper does not tell how it starts. Heads of different encoders speak different bases, so a
trained projection behind a foreign attention is no better than a random one; least squares mends that.
"""

from typing import Any

import torch
from timm.layers.attention import Attention
from torch import Tensor, nn

from ..conversion.state import evaluating
from .blocks import ReuseAttention, ReuseBlocks
from .convert import check_reusable

RIDGE = 1e-3  # of the mean variance of an input


class _Found(Exception):
    """Ends a forward pass early."""

    def __init__(self, values: Tensor) -> None:
        self.values = values


@torch.no_grad()
def fit_projections_(model: nn.Module, original: nn.Module, images: Tensor) -> None:
    """Fit the projection of every reuse encoder, in order, to the original's attention on ``images`` [B, ...].

    Ridge regression from the transformation block's output to the output of the original's projection at the
    same encoder. ``original`` is the float model before ``reuse_``.
    """
    blocks = model.blocks
    assert isinstance(blocks, ReuseBlocks)
    whole = check_reusable(original)
    with evaluating(model):
        _fit(model, blocks, whole, images)


def _fit(model: nn.Module, blocks: ReuseBlocks, whole: Any, images: Tensor) -> None:
    for index in blocks.reused:
        attention, before = blocks[index].attn, whole.blocks[index].attn
        assert isinstance(attention, ReuseAttention) and isinstance(before, Attention)
        layer, wanted_from = attention.proj, before.proj
        wanted = _seen(whole, images, wanted_from, output=True).flatten(0, -2).double()
        inputs = _seen(model, images, layer, output=False).flatten(0, -2).double()
        input_mean, wanted_mean = inputs.mean(0), wanted.mean(0)
        centred = inputs - input_mean
        gram = centred.T @ centred
        gram += RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
        weight = torch.linalg.solve(gram, centred.T @ (wanted - wanted_mean)).T
        layer.weight.copy_(weight)
        if layer.bias is not None:
            layer.bias.copy_(wanted_mean - weight @ input_mean)


def _seen(model: nn.Module, images: Tensor, layer: nn.Module, *, output: bool) -> Tensor:
    """What a layer gets or gives on these images."""

    def end(_: nn.Module, arguments: tuple[Tensor, ...], result: Tensor) -> None:
        raise _Found(result if output else arguments[0])

    hook = layer.register_forward_hook(end)
    try:
        model(images)
    except _Found as found:
        return found.values
    finally:
        hook.remove()
    raise AssertionError("the layer did not run")
