"""Co-simulation of whole weightless MLPs, trained ones on the tokens that reach them.

    for result in cosimulate_lutnets(specs, codes): print(result)

compares every accumulator of every block's ``LutNetUnit`` with its ``LutNetSpec``.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from slipstick.errors import UserError
from slipstick.rtl.lutnet.unit import LutNetUnit
from slipstick.rtl.spec.lutnet import LutNetSpec

from .vector import UnitResult, cosimulate_rows

LANES, PARALLEL = 8, 16  # a token of 128 features and 1024 bits takes 64 cycles


@dataclass(frozen=True)
class LutNetResult:
    """One block's MLP: ``tokens`` sent, and what its unit made of them."""

    block: str
    tokens: int
    unit: UnitResult

    def __str__(self) -> str:
        text = (
            f"{self.block}: {self.tokens} tokens, {self.unit.mismatches} of {self.unit.compared} accumulators differ "
            f"({self.unit.cycles} cycles)"
        )
        for one in self.unit.first_mismatches[:1]:
            where = f"{self.block} token {one.row} feature {one.element} cycle {one.cycle}"
            text += f"; first: {where}: got {one.got}, wanted {one.wanted}"
        return text


def cosimulate_lutnets(
    specs: Mapping[str, LutNetSpec], codes: Mapping[str, np.ndarray], *, lanes: int = LANES,
    parallel: int = PARALLEL, seed: int = 0, backpressure: float = 0.0,
) -> Iterator[LutNetResult]:  # fmt: skip
    """Co-simulate the MLP of every block, one after another, on its tokens: ``codes`` int64 [M, D] by block.

    ``lanes`` and ``parallel`` are those of ``LutNetUnit``, or as many as there are features and bits where these are
    fewer. Raises UserError for blocks without codes, SimulationError when a unit hangs.
    """
    missing = sorted(specs.keys() - codes.keys())
    if missing or not specs:
        raise UserError(f"no tokens for {missing[0]}" if missing else "no weightless MLP to co-simulate")
    for block, spec in specs.items():
        unit = LutNetUnit(spec, min(lanes, len(spec.thresholds)), min(parallel, len(spec.entries)))
        wanted = spec(codes[block])
        result = cosimulate_rows(unit, list(codes[block]), list(wanted), seed=seed, backpressure=backpressure)
        yield LutNetResult(block, len(codes[block]), result)
