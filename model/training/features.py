"""Distillation of features: what every encoder gives, pulled towards what the teacher's gives there."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from slipstick.errors import UserError


@contextmanager
def encoder_outputs(model: nn.Module) -> Iterator[list[Tensor]]:
    """Tokens [B, T, D] behind every encoder of a timm ViT, in order, of a call while the context lasts.

    Raises UserError for a model without encoders.
    """
    encoders: Any = getattr(model, "blocks", None)
    if not isinstance(encoders, nn.Module):
        raise UserError(f"a {type(model).__name__} has no encoders whose features could be distilled")
    seen: list[Tensor] = []

    def record(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        seen.append(output[0] if isinstance(output, tuple) else output)  # an encoder may hand on its attention too

    with ExitStack() as stack:
        for encoder in encoders.children():
            stack.callback(encoder.register_forward_hook(record).remove)
        yield seen


def feature_loss(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """Mean over encoders of the squared error over the variance of the teacher's tokens; float [].

    Raises UserError for features that are not float, such as those of an integer-only model.
    """
    for one in student:
        if not isinstance(one, Tensor) or not one.is_floating_point():
            raise UserError("features of an integer-only model cannot be distilled; set their weight to 0")
    shares = [
        (got - wanted).square().mean() / (wanted - wanted.mean((0, 1))).square().mean().clamp(min=1e-12)
        for got, wanted in zip(student, teacher, strict=True)
    ]
    return torch.stack(shares).mean()
