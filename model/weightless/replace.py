"""``weightless_``: MLPs of a timm Vision Transformer, in place, by weightless ones."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from timm.layers.mlp import Mlp
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from slipstick.errors import UserError

from ..conversion.batch import Batch, forward
from ..conversion.inputs import read_batches
from ..conversion.state import all_or_nothing, evaluating
from ..vit_parts import blocks as blocks_of
from .match import MatchConfig, explained, match_
from .mlp import WeightlessConfig, WeightlessMlp


def _check_vit(model: nn.Module) -> VisionTransformer:
    if not isinstance(model, VisionTransformer):
        raise UserError(f"weightless MLPs replace those of timm's VisionTransformer, not of {type(model).__name__}")
    return model


def remaining(model: nn.Module) -> tuple[int, ...]:
    """The blocks whose MLPs are not weightless yet. Raises UserError for models other than timm's ViT."""
    every = blocks_of(_check_vit(model))
    return tuple(number for number, block in enumerate(every) if not isinstance(block.mlp, WeightlessMlp))


def check_blocks(model: nn.Module, blocks: Sequence[int]) -> VisionTransformer:
    """The model, if these blocks of it have an MLP to replace. Raises UserError otherwise."""
    vit = _check_vit(model)
    every = blocks_of(vit)
    missing = [number for number in blocks if not 0 <= number < len(every)]
    if missing:
        raise UserError(f"block {missing[0]} does not exist; the model has blocks 0 to {len(every) - 1}")
    if not blocks or len(set(blocks)) != len(blocks):
        raise UserError(f"weightless blocks {list(blocks)}: name at least one block, and none twice")
    for number in blocks:
        if type(every[number].mlp) is not Mlp:
            raise UserError(f"block {number} has a {type(every[number].mlp).__name__} in place of timm's Mlp")
    return vit


@contextmanager
def recording(module: nn.Module) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Inputs and outputs of a module, as rows of features, while the context lasts."""
    seen: list[tuple[Tensor, Tensor]] = []

    def record(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append((inputs[0].detach().flatten(0, -2), output.detach().flatten(0, -2)))

    hook = module.register_forward_hook(record)
    try:
        yield seen
    finally:
        hook.remove()


@torch.no_grad()
def record(model: VisionTransformer, block: int, inputs: Sequence[Batch]) -> tuple[Tensor, Tensor]:
    """What a block's MLP gets and gives, float [M, D] and [M, D'], while the model runs on ``inputs``; shuffled."""
    with evaluating(model), recording(blocks_of(model)[block].mlp) as seen:
        for batch in inputs:
            forward(model, batch)
    got, gave = (torch.cat(part) for part in zip(*seen, strict=True))
    order = torch.randperm(len(got), generator=torch.Generator().manual_seed(block)).to(got.device)
    return got[order], gave[order]


def weightless_(
    model: nn.Module, blocks: Sequence[int], config: WeightlessConfig, inputs: Sequence[Tensor],
    match: MatchConfig | None = None, report: Callable[[int, float], None] = lambda block, share: None,
) -> None:  # fmt: skip
    """Replace the MLPs of ``blocks``, from the first to the last, each by one that imitates it.

    ``inputs`` are batches of the model's input that activations are recorded on, with the blocks before already
    replaced. With ``match`` every MLP is trained to match these, else only the entries of its sum are solved.
    ``report(block, share)`` says how much of the MLP's variance is explained. Raises UserError for blocks that do
    not exist or have no timm Mlp, and for inputs as ``approximate_`` does. Whatever fails, the model is as it was.
    """
    vit = check_blocks(model, blocks)
    batches = read_batches(model, inputs)
    with all_or_nothing(model):
        for number in sorted(blocks):
            before = blocks_of(vit)[number].mlp
            got, gave = record(vit, number, batches)
            mlp = WeightlessMlp(config, got, gave)
            if match is not None:
                match_(mlp, got, gave, match)
            report(number, explained(mlp, got, gave))
            blocks_of(vit)[number].mlp = mlp.train(before.training)


def weightless_mlps(model: nn.Module) -> dict[str, WeightlessMlp]:
    """The weightless MLPs of a model by name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, WeightlessMlp)}
