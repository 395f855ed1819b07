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

BLOCK, TOKENS, DIM, SIZE = 3, 64, 128, 8
OVERHEAD = 10  # cycles: the way of the first beat in and of the last answer out


@pytest.mark.slow
def test_transformation_block_through_residual_sum_bit_for_bit_and_in_the_cycles_of_the_schedule() -> None:
    loaded = load_model()
    reuse_(loaded.module, (BLOCK,))
    torch.manual_seed(0)
    for parameter in loaded.module.blocks[BLOCK].attn.transform.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)  # the identity is too easy
    names = ["exact8s", "truncated8s_k6", "drum8s_k4", "exact8s"] * 2
    config = ArrayConfig(SIZE, SIZE, CellMix.by_column([cell(name) for name in names], rows=SIZE, columns=SIZE))
    rules = {f"blocks.{BLOCK}.attn.{name}": config for name in ("transform.linear", "proj")}
    approximate_(loaded.module, rules, input_batches(loaded, shipped("calibration")[:16]), integer=True)
    images = loaded.module.image_codes(loaded.prepare(shipped("test").pixels[:1]))
    steps = cosimulate_reuse(loaded.module, BLOCK, images, config, lanes=4, seed=2, backpressure=0.0)
    assert [step.unit for step in steps] == ["LayerNorm", "Linear", "GELU", "projection", "residual sum"]
    drains = 2 * DIM // SIZE  # accumulators and outputs of every group of channels
    for step in steps:
        assert step.result.mismatches == 0, step.result
        assert step.result.compared == TOKENS * DIM * (1 if step.schedule is None else 2)
        if step.schedule is not None:
            assert (
                -drains <= step.result.cycles - step.schedule <= OVERHEAD
            )  # the formula waits a cycle longer for each


def test_an_encoder_with_its_own_attention_has_nothing_to_show() -> None:
    model = nn.Module()
    model.blocks = nn.ModuleList([nn.Identity()])
    with pytest.raises(UserError, match="encoder 0 has no integer transformation block"):
        cosimulate_reuse(model, 0, torch.zeros(1), ArrayConfig(1, 1, CellMix.uniform(cell("exact8s"), rows=1,
            columns=1)), lanes=1, seed=0, backpressure=0)  # fmt: skip
