"""The hardware of the shipped ViT's weightless MLPs, once trained: co-simulation on real tokens."""

import sys
from pathlib import Path

from slipstick.model.data import shipped
from slipstick.model.weightless.export import exported
from slipstick.model.weightless.tokens import record_tokens
from slipstick.model.zoo import LoadedModel, load_model
from slipstick.rtl.spec.lutnet import LutNetSpec
from slipstick.sim.lutnet import cosimulate_lutnets

COSIMULATED_IMAGES = 2


def trained_model(trained: Path) -> tuple[LoadedModel, dict[str, LutNetSpec]]:
    """The shipped ViT with the weights of ``trained``.safetensors, and the integers of ``trained``_integers."""
    loaded = load_model(weights=trained.with_name(f"{trained.name}.safetensors"))
    return loaded, exported(loaded.module, trained.with_name(f"{trained.name}_integers"))


def cosim(trained: Path) -> None:
    """Co-simulate every replaced MLP on all tokens of two test images; exit code 1 where anything differs."""
    loaded, specs = trained_model(trained)
    tokens = record_tokens(loaded.module, loaded.prepare(shipped("test")[:COSIMULATED_IMAGES].pixels))
    agree = True
    for result in cosimulate_lutnets(specs, {block: one.codes for block, one in tokens.items()}):
        differing = tokens[result.block].differences(specs[result.block])
        print(f"{result}; torch module and spec: {differing} differ", flush=True)
        agree &= not (differing or result.unit.mismatches)
    sys.exit(not agree)
