"""Weightless MLPs of a model agree with their Verilog on its tokens, and a fault is found where it is."""

import re

import numpy as np
import pytest
from amaranth.lib.wiring import Component

from slipstick.errors import UserError
from slipstick.model.data import shipped
from slipstick.model.evaluate import input_batches
from slipstick.model.weightless.export import to_spec
from slipstick.model.weightless.mlp import WeightlessConfig
from slipstick.model.weightless.replace import weightless_, weightless_mlps
from slipstick.model.weightless.tokens import record_tokens
from slipstick.model.zoo import load_model
from slipstick.rtl.spec.lutnet import LutNetSpec
from slipstick.rtl.verilog.emit import to_verilog
from slipstick.sim import unit
from slipstick.sim.lutnet import cosimulate_lutnets
from tests.rtl.spec.lutnets import random_lutnet

SPECS = {f"blocks.{block}.mlp": random_lutnet(6, 4, (16, 10), 4, outputs=6, seed=block) for block in (0, 3)}
CODES = {block: np.random.default_rng(len(block)).integers(-128, 128, (24, 6)) for block in SPECS}


def test_every_token_of_every_block_agrees() -> None:
    results = list(cosimulate_lutnets(SPECS, CODES, lanes=2, parallel=3, backpressure=0.2))
    assert [one.block for one in results] == ["blocks.0.mlp", "blocks.3.mlp"]
    for one in results:
        assert str(one).startswith(f"{one.block}: 24 tokens, 0 of 144 accumulators differ (")
        assert one.unit.mismatches == 0 and one.unit.compared == 144


def test_blocks_without_tokens_are_refused() -> None:
    with pytest.raises(UserError, match=r"no tokens for blocks\.3\.mlp"):
        next(cosimulate_lutnets(SPECS, {"blocks.0.mlp": CODES["blocks.0.mlp"]}))
    with pytest.raises(UserError, match="no weightless MLP"):
        next(cosimulate_lutnets({}, CODES))


def test_a_fault_names_block_token_feature_and_cycle(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(component: Component, name: str) -> str:
        right, wrong = "bits <= step_bits;", "bits <= ~step_bits;"
        text, count = re.subn(right, wrong, to_verilog(component, name))
        assert count == 1
        return text

    monkeypatch.setattr(unit, "to_verilog", broken)
    block = "blocks.3.mlp"
    result = next(cosimulate_lutnets({block: SPECS[block]}, CODES, lanes=2, parallel=3))
    first = result.unit.first_mismatches[0]
    assert SPECS[block](CODES[block])[first.row, first.element] == first.wanted != first.got
    where = f"{block} token {first.row} feature {first.element} cycle {first.cycle}"
    assert str(result).endswith(f"first: {where}: got {first.got}, wanted {first.wanted}")


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_the_shipped_models_mlps_solved_for_fewer_tables_agree_on_real_tokens() -> None:
    loaded = load_model()
    inputs = input_batches(loaded, shipped("calibration")[:32])
    weightless_(loaded.module, [1, 4], WeightlessConfig(thresholds=4, luts=(96,)), inputs)
    specs: dict[str, LutNetSpec] = {}
    for name, mlp in weightless_mlps(loaded.module).items():
        mlp.binarise_()
        specs[name] = to_spec(mlp, name)
    tokens = record_tokens(loaded.module, loaded.prepare(shipped("test")[:2].pixels))
    assert all(tokens[name].differences(spec) == 0 for name, spec in specs.items())
    results = list(cosimulate_lutnets(specs, {name: one.codes for name, one in tokens.items()}))
    assert [one.block for one in results] == ["blocks.1.mlp", "blocks.4.mlp"]
    for one in results:
        assert one.unit.mismatches == 0 and one.tokens == 2 * 64 and one.unit.compared == 2 * 64 * 128
