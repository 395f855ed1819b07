"""``integer_``: from a calibrated ViT on cells to one that computes whole numbers only."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from timm.layers import DropPath
from timm.layers.mlp import Mlp
from timm.models.vision_transformer import Block, VisionTransformer
from torch import nn

from slipstick.errors import UserError

from ..conversion.batch import Batch, forward
from ..layers.attention import ApproxAttention
from ..layers.derived import Derived
from ..layers.linear import ApproxLinear
from .activation import PwlActivation
from .attention import IntegerAttention
from .config import IntegerConfig
from .fold import fold_
from .norm import IntegerLayerNorm
from .observe import Observed, observing
from .parts import blocks, stem
from .products import RESIDUAL_RANGE, Requantiser
from .softmax import IntegerSoftmax
from .tables import activation_function, activation_table, root_table, softmax_tables
from .vit import IntegerBlock, IntegerVit, stem_requantisers

LOGIT_HEADROOM = 8  # training makes logits grow, and where they saturate their gradient ends


def check_supported(model: nn.Module) -> VisionTransformer:
    """The model, if it has an integer form. Raises UserError naming what has none."""
    if type(model) is not VisionTransformer:
        raise UserError(f"integer-only inference knows timm's VisionTransformer, not {type(model).__name__}")
    problems = [
        (model.global_pool not in ("avg", "token"), f"global_pool={model.global_pool!r}"),
        (model.attn_pool is not None, "attention pooling"), (model.reg_token is not None, "register tokens"),
        (model.pos_embed is None, "no position embedding"), (model.dynamic_img_size, "dynamic image sizes"),
        (not isinstance(model.norm_pre, nn.Identity), "a norm before the blocks"),
        (not isinstance(model.head, nn.Linear), "no classifier"),
        (len([n for n in (model.norm, model.fc_norm) if isinstance(n, nn.LayerNorm)]) != 1, "other than one last norm"),
        (model.global_pool == "avg" and isinstance(model.norm, nn.LayerNorm), "a norm before average pooling"),
        (not isinstance(getattr(model.patch_embed, "norm", nn.Identity()), nn.Identity), "a norm of patches"),
        *(problem for block in blocks(model) for problem in _block_problems(block)),
        *((not isinstance(one, (nn.Conv2d, nn.ReLU, nn.BatchNorm2d, nn.Identity)), f"{type(one).__name__} in the stem")
          for one in stem(model)),
    ]  # fmt: skip
    found = [what for wrong, what in problems if wrong]
    if found:
        raise UserError(f"integer-only inference has no form for {', '.join(dict.fromkeys(found))}")
    for block in blocks(model):
        activation_function(block.mlp.act)
    return model


def _block_problems(block: Any) -> list[tuple[bool, str]]:
    if type(block) is not Block or type(block.mlp) is not Mlp:
        return [(True, f"blocks of type {type(block).__name__}")]
    attention = block.attn
    between = [getattr(attention, name, nn.Identity()) for name in ("q_norm", "k_norm", "norm")] + [block.mlp.norm]
    return [
        (not all(isinstance(one, nn.Identity) for one in between), "norms inside attention or MLP"),
        (getattr(attention, "gate", None) is not None, "gated attention"),
        (any(isinstance(one, DropPath) and one.drop_prob for one in block.modules()), "stochastic depth"),
        (any(isinstance(one, nn.Dropout) and one.p for one in block.modules()), "dropout"),
    ]


@torch.no_grad()
def observe_and_fold_(model: VisionTransformer, inputs: Sequence[Batch]) -> Observed:
    """Fold what is affine by channel, in place, and run the float model on inputs to see its ranges."""
    fold_(model)
    was_training = model.training
    model.eval()
    with observing(model) as observed:
        for batch in inputs:
            forward(model, batch)
    model.train(was_training)
    return observed


def integer_(model: VisionTransformer, observed: Observed, config: IntegerConfig) -> None:
    """Turn a folded and calibrated ViT on cells, in place, into an ``IntegerVit``.

    ``observed`` is what calibration saw in float. Probabilities get a power-of-two scale; all other scales
    of the int8 model stay. Raises UserError when a layer was kept in float.
    """
    exponential, reciprocal = softmax_tables(config)
    root = root_table(config)
    for place, block in enumerate(blocks(model)):
        attention = block.attn
        if not (isinstance(attention, ApproxAttention) and attention.integer_operands):
            raise UserError(f"integer-only: blocks.{place}.attn is not on cells as a whole; drop its keep pattern")
        fraction = math.floor(-math.log2(float(attention.av.activation_scale)))
        device = attention.av.activation_scale.device
        attention.av.activation_scale = torch.tensor(2.0**-fraction, device=device)
        IntegerAttention.take_over_(attention, IntegerSoftmax(attention.scale, exponential, reciprocal, fraction))
        function, gradient = activation_function(block.mlp.act)
        block.mlp.act = PwlActivation(gradient, activation_table(function, observed.inputs[place], config)).to(device)
        block.norm1, block.norm2 = (IntegerLayerNorm.take_over(norm, root) for norm in (block.norm1, block.norm2))
        block.__class__ = IntegerBlock
        block.to_stream = Requantiser(*RESIDUAL_RANGE), Requantiser(*RESIDUAL_RANGE)
    for name in ("norm", "fc_norm"):
        if isinstance(getattr(model, name), nn.LayerNorm):
            setattr(model, name, IntegerLayerNorm.take_over(getattr(model, name), root))
    model.__class__ = IntegerVit
    assert isinstance(model, IntegerVit)
    head = model.head
    assert isinstance(head, ApproxLinear)
    device = head.activation_scale.device
    for name, largest in (
        ("stream_scale", config.headroom * observed.largest),
        ("logit_scale", LOGIT_HEADROOM * head.output_observer.largest),
    ):
        model.register_buffer(name, torch.tensor(largest / RESIDUAL_RANGE[1], device=device))
    model.stem, model.to_logits, model.constants = stem_requantisers(model), Requantiser(*RESIDUAL_RANGE), Derived()
