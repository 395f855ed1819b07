"""Encoders that reuse attention, integer-only, in Verilog: values compared and cycles, unit by unit.

    python -m tests.bench.reuse_cosim [WEIGHTS]

(``nox -s reuse_cosim -- WEIGHTS``). WEIGHTS are those of a reuse network, such as ``slipstick reuse`` writes; without
them encoder 3 of the shipped network reuses attention, with a projection fitted in closed form.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from slipstick.flow.commands.options import array_config
from slipstick.flow.job.machine import machine
from slipstick.flow.reuse.verify import Step, cosimulate_reuse
from slipstick.model.convert import approximate_
from slipstick.model.data import shipped
from slipstick.model.evaluate import input_batches
from slipstick.model.reuse.convert import reuse_, reuse_facts
from slipstick.model.reuse.fit import fit_projections_
from slipstick.model.zoo import SHIPPED, LoadedModel, load_model

IMAGES, LANES, BACKPRESSURE = 2, 4, 0.0
MIX = "exact8s:6,truncated8s_k6:5,drum8s_k4:5"


def verify(loaded: LoadedModel) -> Iterator[tuple[int, Step]]:
    """Convert a reuse network and co-simulate: encoder and unit, as they are done."""
    calibration = shipped("calibration")[:64]
    facts = reuse_facts(loaded.module)
    assert facts is not None
    array = array_config(16, 16, MIX)
    rules = {rf"re:blocks\.{block}\.attn\.(transform\.linear|proj)": array for block in facts["blocks"]}
    approximate_(loaded.module, rules, input_batches(loaded, calibration), integer=True)
    images = loaded.module.image_codes(loaded.prepare(shipped("test").pixels[:IMAGES]))
    for block in facts["blocks"]:
        for step in cosimulate_reuse(
            loaded.module, block, images, machine(array), lanes=LANES, seed=0, backpressure=BACKPRESSURE
        ):
            yield block, step


def main() -> None:
    """Print a line for every unit of every reuse encoder; exit code 1 when a value differs."""
    loaded = load_model(SHIPPED, Path(sys.argv[1]) if sys.argv[1:] else None)
    if not reuse_facts(loaded.module):
        reuse_(loaded.module, (3,))
        fit_projections_(loaded.module, load_model().module, input_batches(loaded, shipped("calibration")[:64])[0])
    compared = wrong = 0
    for block, step in verify(loaded):
        result = step.result
        wanted = getattr(result, "cycles_wanted", None)
        schedule = "" if wanted is None else f", {wanted} by the schedule"
        print(f"encoder {block} {step.unit}: {result.compared} values, {result.mismatches} differ, "
              f"{result.cycles} cycles{schedule}", flush=True)  # fmt: skip
        compared, wrong = compared + result.compared, wrong + result.mismatches
    print(f"{compared} values compared, {wrong} differ")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
