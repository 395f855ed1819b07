"""Top-1 accuracy and logits of a model on decoded images."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from .data import Images
from .zoo import LoadedModel

Progress = Callable[[int, int], None]


def _ignore(done: int, total: int) -> None:
    pass


@torch.no_grad()
def logits(loaded: LoadedModel, images: Images, batch: int = 50, progress: Progress = _ignore) -> Tensor:
    """Logits float [N, classes] of decoded images; ``progress(done, total)`` after every batch."""
    loaded.module.eval()
    parts = []
    for start in range(0, len(images), batch):
        parts.append(loaded.module(loaded.prepare(images.pixels[start : start + batch])))
        progress(min(start + batch, len(images)), len(images))
    return torch.cat(parts)


def correct(loaded: LoadedModel, images: Images, batch: int = 50, progress: Progress = _ignore) -> np.ndarray:
    """Whether the highest logit is the label, for every image: bool [N]."""
    return logits(loaded, images, batch, progress).argmax(1).cpu().numpy() == images.labels


def top1(loaded: LoadedModel, images: Images, batch: int = 50, progress: Progress = _ignore) -> float:
    """Fraction of images whose highest logit is the label."""
    return float(correct(loaded, images, batch, progress).mean())


def input_batches(loaded: LoadedModel, images: Images, batch: int = 64) -> list[Tensor]:
    """Float inputs of decoded images, in batches, for calibration."""
    return [loaded.prepare(images.pixels[start : start + batch]) for start in range(0, len(images), batch)]
