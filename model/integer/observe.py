"""What the float model tells about its residual stream and its activation functions, on calibration data."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ..vit_parts import activated, blocks

REACH = 7  # codes of activation functions' inputs stand for less than 2^REACH
BINS, EDGE = 1 << 18, 2.0**REACH  # bins far narrower than the finest code


@dataclass
class Observed:
    """``largest`` |x| of the residual stream, its branches and constants; of activation functions' inputs by name.

    ``inputs``: histograms float64 [BINS]; ``furthest``: largest |x|.
    """

    largest: float = 0.0
    inputs: dict[str, Tensor] = field(default_factory=dict)
    furthest: dict[str, float] = field(default_factory=dict)

    def stream(self, values: Tensor) -> None:
        """Add values of the stream."""
        self.largest = max(self.largest, float(values.detach().abs().max()))

    def activation(self, name: str, values: Tensor) -> None:
        """Add inputs of the activation function of ``activated``'s ``name``; those beyond EDGE count at the edge.

        Warns of these, since no codes of the integer form hold them.
        """
        size = float(values.detach().abs().max())
        if size > EDGE:
            warnings.warn(f"{name}: an activation function's input of {size:.4g} is limited to {EDGE:g}", stacklevel=2)
        clamped = values.detach().float().clamp(-EDGE, EDGE * (1 - 1 / BINS))
        counts = torch.histc(clamped.double(), BINS, -EDGE, EDGE).cpu()  # float32 counts no further than 2^24
        self.inputs[name] = self.inputs.get(name, 0) + counts
        self.furthest[name] = max(self.furthest.get(name, 0.0), size)


@contextmanager
def observing(model: VisionTransformer) -> Iterator[Observed]:
    """Watch a float ViT while the context lasts."""
    seen = Observed()

    def stream(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.stream(inputs[0])

    def branch(_: nn.Module, __: object, output: Tensor | tuple[Tensor, ...]) -> None:
        seen.stream(output if isinstance(output, Tensor) else output[0])  # attention that is handed on is no branch

    hooks = [model.patch_embed.register_forward_hook(branch)]
    for block in blocks(model):
        hooks += [part.register_forward_pre_hook(stream) for part in (block, block.norm2)]
        hooks += [part.register_forward_hook(branch) for part in (block.attn, block.mlp, block)]
    for name, parent in activated(model):

        def activation(_: nn.Module, inputs: tuple[Tensor, ...], name: str = name) -> None:
            seen.activation(name, inputs[0])

        hooks.append(parent.act.register_forward_pre_hook(activation))
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def centres() -> Tensor:
    """Values float64 [BINS] at the middle of the histogram's bins."""
    return ((torch.arange(BINS, dtype=torch.float64) + 0.5) / BINS * 2 - 1) * EDGE
