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
from slipstick.rtl.layernorm_unit import LayerNormUnit
from slipstick.rtl.residual import ResidualUnit
from slipstick.rtl.spec.fixed import Requant
from slipstick.rtl.spec.machine import AcceleratorConfig
from slipstick.rtl.spec.residual import ResidualSpec
from slipstick.sim.cosim import cosimulate
from slipstick.sim.result import CosimResult
from slipstick.sim.vector import TableJob, UnitResult, cosimulate_rows, cosimulate_tables
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
    inner = act.before if full else transform.to_projection
    products = Codes(linear.accumulate(normed.codes), linear.unit())
    job, codes = _job(
        linear, normed, products, inner, act.input_scale if full else projection.activation_scale, config.array.columns
    )
    timing: dict[str, Any] = {"seed": seed, "backpressure": backpressure}
    steps = [
        Step("LayerNorm", _norm(norm, wide, normed, lanes, **timing)),
        _on_array("Linear", job, config, **timing),
    ]
    if full:
        factor, shift = (int(part) for part in act.after.constants(act.result_scale, transformed.scale))
        table = TableJob(act.table, factor, shift, codes.flatten())
        if not np.array_equal(table.wanted, _rows(transformed).flatten()):
            raise AssertionError("the model's activation is not that of its table")
        steps.append(Step("GELU", cosimulate_tables([table], lanes=lanes, **timing)))
    last, _ = _job(projection, transformed, attended, Requantiser(), projection.output_scale, config.array.columns)
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
) -> tuple[GemmJob, np.ndarray]:
    """The product of a layer with the model's own requantiser behind it, and the codes int64 [M, N] it gives."""
    multiplier, shift = (part.numpy() for part in requantiser.constants(products.scale, out))
    codes = _rows(requantiser(products, out))
    job = GemmJob(
        layer=layer.path,
        activations=_rows(given).astype(np.int8),
        weights=layer.weight_codes.numpy(),
        bias=layer.bias_codes().numpy(),
        requant=Requant(multiplier, shift, low=requantiser.low, high=requantiser.high),
        columns=tuple(range(columns)),
        accumulators=_rows(products).astype(np.int32),
        outputs=codes.astype(np.int8),
    )
    return job, codes


def _on_array(unit: str, job: GemmJob, config: AcceleratorConfig, **timing: Any) -> Step:
    return Step(unit, cosimulate(config, [job], **timing))
