"""A reuse encoder of the shipped network in Verilog: every unit agrees on real images, the array in time as well."""

import pytest
import torch
from torch import nn

from slipstick.errors import UserError
from slipstick.flow.reuse.verify import cosimulate_reuse
from slipstick.model.convert import approximate_
from slipstick.model.data import shipped
from slipstick.model.evaluate import input_batches
from slipstick.model.reuse.convert import reuse_
from slipstick.model.zoo import load_model
from slipstick.rtl.cells import cell
from slipstick.rtl.spec.array import ArrayConfig, CellMix
from slipstick.rtl.spec.machine import AcceleratorConfig
from slipstick.sim.result import CosimResult

BLOCK, TOKENS, DIM, SIZE = 3, 64, 128, 8


@pytest.mark.slow
def test_transformation_block_through_residual_sum_bit_for_bit_and_in_the_cycles_of_the_schedule() -> None:
    loaded = load_model()
    reuse_(loaded.module, (BLOCK,))
    torch.manual_seed(0)
    for parameter in loaded.module.blocks[BLOCK].attn.transform.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)  # the identity is too easy
    names = ["exact8s", "truncated8s_k6", "drum8s_k4", "exact8s"] * 2
    array = ArrayConfig(SIZE, SIZE, CellMix.by_column([cell(name) for name in names], rows=SIZE, columns=SIZE))
    rules = {f"blocks.{BLOCK}.attn.{name}": array for name in ("transform.linear", "proj")}
    approximate_(loaded.module, rules, input_batches(loaded, shipped("calibration")[:16]), integer=True)
    images = loaded.module.image_codes(loaded.prepare(shipped("test").pixels[:1]))
    config = AcceleratorConfig(array, SIZE, SIZE // 2, depth=64)
    steps = cosimulate_reuse(loaded.module, BLOCK, images, config, lanes=4, seed=2, backpressure=0.0)
    assert [step.unit for step in steps] == ["LayerNorm", "Linear", "GELU", "projection", "residual sum"]
    for step in steps:
        on_array = isinstance(step.result, CosimResult)
        assert step.result.mismatches == 0, step.result
        assert step.result.compared == TOKENS * DIM * (2 if on_array else 1)
        if isinstance(step.result, CosimResult):
            assert step.result.cycles_wanted is not None and step.result.in_time, step.result
    assert [step.unit for step in steps if isinstance(step.result, CosimResult)] == ["Linear", "projection"]


def test_an_encoder_with_its_own_attention_has_nothing_to_show() -> None:
    model = nn.Module()
    model.blocks = nn.ModuleList([nn.Identity()])
    config = AcceleratorConfig(ArrayConfig(1, 1, CellMix.uniform(cell("exact8s"), rows=1, columns=1)))
    with pytest.raises(UserError, match="encoder 0 has no integer transformation block"):
        cosimulate_reuse(model, 0, torch.zeros(1), config, lanes=1, seed=0, backpressure=0)
