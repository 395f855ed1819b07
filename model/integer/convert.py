"""``integer_``: from a calibrated ViT on cells to one that computes whole numbers only."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from timm.layers import LayerScale
from timm.layers.attention import Attention
from timm.layers.mlp import Mlp
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torch.nn.utils import parametrize

from slipstick.errors import UserError
from slipstick.rtl.spec.pwl import PwlTable

from ..conversion.batch import Batch, forward
from ..conversion.state import evaluating
from ..layers.linear import ApproxLinear
from ..layers.ranges import OperandRange
from ..reuse.blocks import ReuseAttention, SourceAttention
from ..vit_parts import activated, blocks, stem
from ..weightless.mlp import WeightlessMlp
from .activation import PwlActivation
from .attention import IntegerAttention
from .blocks import INTEGER_BLOCKS
from .config import IntegerConfig
from .fold import fold_
from .mlp import IntegerMlp, IntegerWeightlessMlp
from .norm import IntegerLayerNorm
from .observe import Observed, observing
from .products import RESIDUAL_RANGE, Requantiser
from .softmax import IntegerSoftmax
from .tables import activation_function, activation_table, input_range, root_table, softmax_tables
from .transform import IntegerReuseAttention
from .vit import IntegerVit, prefix_tokens, stem_requantisers

ATTENTIONS = (Attention, SourceAttention, ReuseAttention)
LOGIT_HEADROOM = 8  # training makes logits grow, and where they saturate their gradient ends


def check_supported(model: nn.Module) -> VisionTransformer:
    """The model, if it has an integer form. Raises UserError naming what has none.

    Dropout and stochastic depth do nothing in it, in training neither.
    """
    if type(model) not in (VisionTransformer, VisionTransformerDistilled):
        raise UserError(f"integer-only inference knows timm's VisionTransformer, not {type(model).__name__}")
    assert isinstance(model, VisionTransformer)
    problems = [
        (model.global_pool not in ("avg", "max", "token"), f"global_pool={model.global_pool!r}"),
        (model.attn_pool is not None, "attention pooling"), (model.pos_embed is None, "no position embedding"),
        (getattr(model.patch_embed, "dynamic_img_pad", False), "padding of images to whole patches"),
        (any(parameter.dtype != torch.float32 for parameter in model.parameters()), "parameters other than float32"),
        (any(parametrize.is_parametrized(one) for one in model.modules()), "parametrised weights"),
        (not isinstance(model.norm_pre, nn.Identity), "a norm before the blocks"),
        (not isinstance(model.head, nn.Linear), "no classifier"),
        (len([n for n in (model.norm, model.fc_norm) if isinstance(n, nn.LayerNorm)]) != 1, "other than one last norm"),
        (model.global_pool != "token" and isinstance(model.norm, nn.LayerNorm), "a norm before pooling"),
        (not isinstance(getattr(model.patch_embed, "norm", nn.Identity()), nn.Identity), "a norm of patches"),
        *(problem for block in blocks(model) for problem in _block_problems(block)),
        *((not isinstance(one, (nn.Conv2d, nn.ReLU, nn.BatchNorm2d, nn.Identity)), f"{type(one).__name__} in the stem")
          for one in stem(model)),
    ]  # fmt: skip
    found = [what for wrong, what in problems if wrong]
    if found:
        raise UserError(f"integer-only inference has no form for {', '.join(dict.fromkeys(found))}")
    for _, parent in activated(model):
        activation_function(parent.act)
    return model


def _block_problems(block: Any) -> list[tuple[bool, str]]:
    if type(block) not in INTEGER_BLOCKS:
        return [(True, f"blocks of type {type(block).__name__}")]
    mlp = block.mlp
    if type(mlp) not in (Mlp, WeightlessMlp):
        return [(True, f"an MLP of type {type(mlp).__name__}")]
    attention = block.attn
    if type(attention) not in ATTENTIONS:
        return [(True, f"attention of type {type(attention).__name__}")]
    norms = [getattr(block, name) for name in ("norm1", "norm2") if hasattr(block, name)]
    between = [getattr(attention, name, nn.Identity()) for name in ("q_norm", "k_norm", "norm")]
    between.append(getattr(mlp, "norm", nn.Identity()))
    return [
        (not all(isinstance(one, nn.LayerNorm) for one in norms), "norms other than LayerNorm"),
        (not all(isinstance(one, nn.Identity) for one in between), "norms inside attention or MLP"),
        (isinstance(mlp, WeightlessMlp) and isinstance(block.ls2, LayerScale), "a layer scale behind a weightless MLP"),
        (getattr(attention, "gate", None) is not None, "gated attention"),
    ]


@torch.no_grad()
def observe_and_fold_(model: VisionTransformer, inputs: Sequence[Batch]) -> Observed:
    """Fold what is affine by channel, in place, and run the float model on inputs to see its ranges."""
    fold_(model)
    with evaluating(model), observing(model) as observed:
        for batch in inputs:
            forward(model, batch)
    return observed


def choose_scales_(model: VisionTransformer) -> None:
    """Ask a ViT on cells, before it is calibrated, for the scales that integer operators take."""
    for block in blocks(model):
        if not isinstance(block.attn, ReuseAttention):
            block.attn.av.power_of_two = True


def integer_(
    model: VisionTransformer, observed: Observed, config: IntegerConfig
) -> dict[str, tuple[OperandRange, ...]]:
    """Turn a folded and calibrated ViT on cells, in place, into an ``IntegerVit``.

    ``observed`` is what calibration saw in float. All scales of the int8 model stay; those of probabilities are
    powers of two, as calibration was told by ``choose_scales_``. Returns the ranges that integer operators add.
    """
    tables: dict[str, PwlTable] = {}
    seen: dict[str, tuple[OperandRange, ...]] = {}
    for name, parent in activated(model):
        function, counts, following = (
            activation_function(parent.act)[0],
            observed.inputs[name],
            getattr(parent, "fc2", None),
        )
        held = following.activation_range if isinstance(following, ApproxLinear) else (-math.inf, math.inf)
        table = tables[name] = activation_table(function, counts, config, *held)
        found = input_range(function, counts, observed.furthest[name], table)
        seen[f"blocks.{name}.act"] = (found,)
    largest = max(observed.largest, *(_largest(part) for part in (model.pos_embed, *prefix_tokens(model))))
    heads = [one for one in (model.head, getattr(model, "head_dist", None)) if isinstance(one, ApproxLinear)]
    logits = LOGIT_HEADROOM * max(head.output_observer.largest for head in heads)
    integer_form_(model, tables, config, config.headroom * largest, logits)
    return seen


def integer_form_(
    model: VisionTransformer,
    tables: Mapping[str, PwlTable],
    config: IntegerConfig,
    stream: float = 1,
    logits: float = 1,
) -> None:
    """Turn it with activation functions' ``tables`` by name, and the largest value of residual stream and logits."""
    head = model.head
    assert isinstance(head, ApproxLinear)
    device = head.activation_scale.device
    exponential, reciprocal = softmax_tables(config)
    root = root_table(config)
    for name, parent in activated(model):
        parent.act = PwlActivation(activation_function(parent.act)[1], tables[name]).to(device)
    for norm in list(model.modules()):
        if isinstance(norm, nn.LayerNorm):
            IntegerLayerNorm.take_over_(norm, root)
    for block in blocks(model):
        attention = block.attn
        if isinstance(attention, ReuseAttention):
            IntegerReuseAttention.take_over_(attention)
        else:
            fraction = round(-math.log2(float(attention.av.activation_scale)))
            assert float(attention.av.activation_scale) == 2.0**-fraction
            IntegerAttention.take_over_(attention, IntegerSoftmax(attention.scale, exponential, reciprocal, fraction))
        if isinstance(block.mlp, WeightlessMlp):
            IntegerWeightlessMlp.take_over_(block.mlp)
        else:
            block.mlp.__class__ = IntegerMlp
        block.__class__ = INTEGER_BLOCKS[type(block)]
        block.to_stream = Requantiser(*RESIDUAL_RANGE), Requantiser(*RESIDUAL_RANGE)
    model.__class__ = IntegerVit
    assert isinstance(model, IntegerVit)
    for name, largest in (("stream_scale", stream), ("logit_scale", logits)):
        model.register_buffer(name, torch.tensor(largest / RESIDUAL_RANGE[1], device=device))
    model.stem, model.constants = stem_requantisers(model), {}
    model.to_logits = Requantiser(*RESIDUAL_RANGE), Requantiser(*RESIDUAL_RANGE)


def _largest(parameter: torch.Tensor | None) -> float:
    return 0.0 if parameter is None else float(parameter.detach().abs().max())
