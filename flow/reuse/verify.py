"""Co-simulation of one encoder that reuses attention, from the attention it is handed to the residual stream.

Every unit gets what the one before it is held to: LayerNorm, Linear on the array, GELU, projection on the array,
residual sum. So no value differs anywhere exactly when the units in a row compute what the model computes.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from slipstick.errors import UserError
from slipstick.model.integer.activation import PwlActivation
from slipstick.model.integer.blocks import IntegerReuseBlock
from slipstick.model.integer.codes import Codes
from slipstick.model.integer.norm import IntegerLayerNorm
from slipstick.model.integer.products import Requantiser
from slipstick.model.integer.vit import IntegerVit
from slipstick.model.layers.linear import ApproxLinear
from slipstick.rtl.spec.machine import AcceleratorConfig
from slipstick.rtl.spec.residual import ResidualSpec
from slipstick.rtl.vector.activation import ActivationUnit
from slipstick.rtl.vector.layernorm import LayerNormUnit
from slipstick.rtl.vector.residual import ResidualUnit
from slipstick.sim.cosim import cosimulate
from slipstick.sim.result import CosimResult
from slipstick.sim.vector import UnitResult, cosimulate_rows
from slipstick.sim.vectors import GemmJob


@dataclass(frozen=True)
class Step:
    """One unit's result; that of a unit on the array knows the cycles of the schedule."""

    unit: str
    result: CosimResult | UnitResult


@torch.no_grad()
def cosimulate_reuse(
    model: IntegerVit,
    block: int,
    images: Tensor,
    config: AcceleratorConfig,
    *,
    lanes: int,
    seed: int,
    backpressure: float,
) -> list[Step]:
    """The units of encoder ``block`` on int8 ``images`` [B, 3, H, W], each in Verilator, compared value by value.

    ``lanes`` of the units beside the array. Raises UserError for an encoder without a transformation block, and for
    sums that the accelerator cannot hold.
    """
    encoder = model.blocks[block]
    if not isinstance(encoder, IntegerReuseBlock) or isinstance(encoder.attn.transform.norm, nn.Identity):
        raise UserError(f"encoder {block} has no integer transformation block to co-simulate")
    attention, transform, norm2 = encoder.attn, encoder.attn.transform, encoder.norm2
    norm, linear, act, projection = transform.norm, transform.linear, transform.act, attention.proj
    seen: dict[nn.Module, tuple[Any, ...]] = {}
    watched = (encoder, norm, attention, norm2)
    hooks = [one.register_forward_hook(lambda m, i, o: seen.__setitem__(m, (*i, o))) for one in watched]
    try:
        model(images)
    finally:
        for hook in hooks:
            hook.remove()
    (wide, _, normed), (_, (attended, transformed)) = seen[norm], seen[attention]
    stream, after = seen[encoder][0], seen[norm2][0]
    full = isinstance(act, PwlActivation)
    products = Codes(linear.accumulate(normed.codes), linear.unit())
    columns = config.array.columns
    job = _job(linear, normed, products, transform.to_projection, projection.activation_scale, columns)
    timing: dict[str, Any] = {"seed": seed, "backpressure": backpressure}
    steps = [
        Step("LayerNorm", _norm(norm, wide, normed, lanes, **timing)),
        _on_array("Linear", job, config, **timing),
    ]
    if full:
        gelu = ActivationUnit(act.spec(products.scale, transformed.scale), lanes)
        found = cosimulate_rows(gelu, list(_rows(products)), list(_rows(transformed)), **timing)
        steps.append(Step("GELU", found))
    last = _job(projection, transformed, attended, Requantiser(), projection.output_scale, columns)
    constants = [part.numpy() for part in encoder.to_stream[0].constants(attended.scale, stream.scale)]
    unit = ResidualUnit(ResidualSpec(*constants), lanes)
    rows = [{"data": x, "accumulators": y} for x, y in zip(_rows(stream), _rows(attended), strict=True)]
    return [
        *steps,
        _on_array("projection", last, config, **timing),
        Step("residual sum", cosimulate_rows(unit, rows, list(_rows(after)), **timing)),
    ]


def _rows(codes: Codes) -> np.ndarray:
    """Codes [B, T, D] as int64 [B * T, D]."""
    return codes.codes.long().flatten(0, -2).numpy()


def _norm(norm: IntegerLayerNorm, given: Codes, found: Codes, lanes: int, **timing: Any) -> UnitResult:
    unit = LayerNormUnit(norm.spec(given.scale, found.scale)[0], lanes)
    return cosimulate_rows(unit, list(_rows(given)), list(_rows(found)), **timing)


def _job(
    layer: ApproxLinear, given: Codes, products: Codes, requantiser: Requantiser, out: Tensor, columns: int
) -> GemmJob:
    """The product of a layer with a requantiser behind it; an activation function takes the accumulators."""
    return GemmJob(
        layer=layer.path,
        activations=_rows(given).astype(np.int8),
        weights=layer.weight_codes.numpy(),
        bias=layer.bias_codes().numpy(),
        requant=requantiser.requant(products.scale, out),
        columns=tuple(range(columns)),
        accumulators=_rows(products).astype(np.int32),
        outputs=_rows(requantiser(products, out)).astype(np.int8),
    )


def _on_array(unit: str, job: GemmJob, config: AcceleratorConfig, **timing: Any) -> Step:
    return Step(unit, cosimulate(config, [job], **timing))
