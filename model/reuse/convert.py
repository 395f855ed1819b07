"""``reuse_``: take the attention out of some encoders of a Vision Transformer, in place."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from timm.layers.attention import Attention
from timm.models.vision_transformer import Block, VisionTransformer
from torch import nn

from slipstick.errors import UserError

from .blocks import CarryingBlock, ReuseBlock, ReuseBlocks, SourceBlock
from .config import ReuseConfig


def reuse_(model: nn.Module, blocks: Iterable[int], config: ReuseConfig | None = None) -> None:
    """Let the encoders ``blocks`` (counted from 0) reuse the attention of the encoder before them, in place.

    A reuse encoder loses its first norm, its QKV projection and both products of attention; its projection
    gets ``TB(A)``, A [B, T, D] being the concatenated heads of the last encoder with attention. All
    other parameters stay, under their names; the transformation block is ``blocks.N.attn.transform``. Call it before
    ``approximate_``, and before loading a state dict of such a model.

    Raises UserError for encoder 0, encoders that do not exist, none at all, a model that reuses already,
    and encoders of another form than timm's ``Block`` with its plain ``Attention``; the model is untouched then.
    """
    config = config or ReuseConfig()
    vit = check_reusable(model)
    reused = check_pattern(blocks, len(vit.blocks))
    changed: list[nn.Module] = []
    for index, block in enumerate(vit.blocks):
        assert isinstance(block, Block)
        if index in reused:
            block = ReuseBlock(block, config)
        elif index + 1 in reused:
            block = SourceBlock(block)
        changed.append(block)
    for before, block in zip(vit.blocks, changed, strict=True):
        for module in {*block.modules()} - {*before.modules()}:  # new ones; the others keep their own flags
            module.training = before.training
    blocks_training = vit.blocks.training
    vit.blocks = ReuseBlocks(changed, reused, config)
    vit.blocks.training = blocks_training


def check_pattern(blocks: Iterable[int], encoders: int) -> tuple[int, ...]:
    """The pattern in order. Raises UserError for one that no model of so many encoders can have."""
    given = list(blocks)
    pattern = tuple(sorted(set(given)))
    if not pattern:
        raise UserError("the pattern is empty; name at least one encoder that reuses attention")
    if len(pattern) != len(given):
        raise UserError(f"the pattern {_listed(sorted(given))} names an encoder twice")
    if len(pattern) >= encoders:
        raise UserError(
            f"{len(pattern)} reuse encoders do not fit into {encoders}; encoder 0 keeps its attention, "
            f"so at most {encoders - 1} can reuse"
        )
    if pattern[0] < 0 or pattern[-1] >= encoders:
        raise UserError(f"the pattern {_listed(pattern)} leaves the encoders 0 to {encoders - 1}")
    if pattern[0] == 0:
        raise UserError(f"the pattern {_listed(pattern)} has encoder 0, which has no encoder before it to reuse from")
    return pattern


def check_reusable(model: nn.Module) -> VisionTransformer:
    """The model, if its encoders can reuse attention. Raises UserError naming what cannot."""
    if not isinstance(model, VisionTransformer):
        raise UserError(f"attention reuse knows timm's VisionTransformer, not {type(model).__name__}")
    if isinstance(model.blocks, ReuseBlocks) or any(isinstance(one, CarryingBlock) for one in model.blocks):
        raise UserError("the model reuses attention already; begin from the model as it was")
    for index, block in enumerate(model.blocks):
        if type(block) is not Block:
            raise UserError(f"encoder {index} is a {type(block).__name__}; attention reuse knows timm's Block")
        attention = block.attn
        if not isinstance(attention, Attention) or type(attention).forward is not Attention.forward:
            raise UserError(f"encoder {index} has {type(attention).__name__}; attention reuse knows timm's Attention")
        if attention.gate is not None or not isinstance(attention.norm, nn.Identity):
            raise UserError(f"encoder {index} has a gate or a norm behind its heads, which cannot be reused")
    return model


def reuse_facts(model: nn.Module) -> dict[str, Any] | None:
    """``{"blocks": [...], "transform": ..., "run": ...}`` of a model that reuses attention, else None."""
    blocks = getattr(model, "blocks", None)
    if not isinstance(blocks, ReuseBlocks):
        return None
    return {"blocks": list(blocks.reused), **asdict(blocks.config)}


def reuse_from_facts_(model: nn.Module, facts: dict[str, Any]) -> None:
    """``reuse_`` as ``reuse_facts`` describes it."""
    reuse_(model, facts["blocks"], ReuseConfig(facts["transform"], facts["run"]))


def _listed(pattern: Iterable[int]) -> str:
    return "{" + ", ".join(map(str, pattern)) + "}"
