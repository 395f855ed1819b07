"""The units compute what the integer ViT computes: every kind of non-linear operator, on rows of real images."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from slipstick.model.convert import approximate_
from slipstick.model.data import shipped
from slipstick.model.evaluate import input_batches
from slipstick.model.integer.activation import PwlActivation
from slipstick.model.integer.codes import Codes
from slipstick.model.integer.norm import IntegerLayerNorm
from slipstick.model.integer.softmax import IntegerSoftmax
from slipstick.model.zoo import load_model
from slipstick.rtl.spec.residual import ResidualSpec
from slipstick.rtl.vector.activation import ActivationUnit
from slipstick.rtl.vector.layernorm import LayerNormUnit
from slipstick.rtl.vector.residual import ResidualUnit
from slipstick.rtl.vector.softmax import SoftmaxUnit
from slipstick.sim.vector import UnitResult, cosimulate_rows

pytestmark = pytest.mark.slow
IMAGES, LANES, BACKPRESSURE = 2, 4, 0.2
TOKENS, DIM, HIDDEN, HEADS = 64, 128, 256, 4
RESIDUAL = 1  # block whose attention is added


@dataclass(frozen=True)
class Call:
    """One run of an operator of the model: module, codes in, their scale, the scale asked for, codes out."""

    module: nn.Module
    codes: np.ndarray
    scale: torch.Tensor
    out: torch.Tensor
    wanted: np.ndarray


@dataclass(frozen=True)
class Recorded:
    """The model, every operator's run by name of its module, and the accumulators of one attention."""

    model: nn.Module
    calls: dict[str, Call]
    attended: Codes


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    """The shipped network, integer-only, on IMAGES test images."""
    loaded = load_model()
    approximate_(loaded.module, {}, input_batches(loaded, shipped("calibration")[:64]), integer=True)
    found: dict[str, Call] = {}
    attended: list[Codes] = []
    names = {module: name for name, module in loaded.module.named_modules()}

    def keep(module: nn.Module, given: tuple[Codes, torch.Tensor], result: Codes) -> None:
        codes, out = (one.codes.long().flatten(0, -2).numpy() for one in (given[0], result))
        found[names[module]] = Call(module, codes, given[0].scale, given[1], out)

    kinds = IntegerSoftmax, IntegerLayerNorm, PwlActivation
    for module in names:
        if isinstance(module, kinds):
            module.register_forward_hook(keep)
    loaded.module.blocks[RESIDUAL].attn.register_forward_hook(lambda _, __, result: attended.append(result[0]))
    with torch.no_grad():
        loaded.module(loaded.module.image_codes(loaded.prepare(shipped("test").pixels[:IMAGES])))
    return Recorded(loaded.module, found, attended[0])


def exact(result: UnitResult, values: int) -> None:
    """No value differs, and none was left out."""
    assert result.mismatches == 0, result
    assert result.compared == values


@pytest.mark.parametrize("block", [0, 5])
def test_softmax_of_attention(recorded: Recorded, block: int) -> None:
    call = recorded.calls[f"blocks.{block}.attn.softmax"]
    unit = SoftmaxUnit(call.module.spec(call.scale, TOKENS), LANES)
    result = cosimulate_rows(unit, list(call.codes), list(call.wanted), seed=2, backpressure=BACKPRESSURE)
    exact(result, IMAGES * HEADS * TOKENS * TOKENS)


@pytest.mark.parametrize("name", ["blocks.0.norm1", "blocks.5.norm2"])
def test_layer_norm_of_the_stream(recorded: Recorded, name: str) -> None:
    call = recorded.calls[name]
    unit = LayerNormUnit(call.module.spec(call.scale, call.out)[0], LANES)
    result = cosimulate_rows(unit, list(call.codes), list(call.wanted), seed=2, backpressure=BACKPRESSURE)
    exact(result, IMAGES * TOKENS * DIM)


@pytest.mark.parametrize("block", range(6))
def test_gelu_of_every_block(recorded: Recorded, block: int) -> None:
    call = recorded.calls[f"blocks.{block}.mlp.act"]
    unit = ActivationUnit(call.module.spec(call.scale, call.out), LANES)
    result = cosimulate_rows(unit, list(call.codes), list(call.wanted), seed=2, backpressure=BACKPRESSURE)
    exact(result, IMAGES * TOKENS * HIDDEN)


def test_the_residual_sum_of_an_attention(recorded: Recorded) -> None:
    before, after = (recorded.calls[f"blocks.{RESIDUAL}.{norm}"] for norm in ("norm1", "norm2"))
    requantiser = recorded.model.blocks[RESIDUAL].to_stream[0]
    multiplier, shift = requantiser.constants(recorded.attended.scale, before.scale)
    unit = ResidualUnit(ResidualSpec(multiplier.numpy(), shift.numpy()), LANES)
    sums = recorded.attended.codes.long().flatten(0, -2).numpy()
    rows = [{"data": x, "accumulators": total} for x, total in zip(before.codes, sums, strict=True)]
    exact(cosimulate_rows(unit, rows, list(after.codes), seed=2, backpressure=BACKPRESSURE), IMAGES * TOKENS * DIM)
