"""Speed and quality as ratios within one run; prints a table and, with --json, one JSON document.

Example: nox -s bench -- --json
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from slipstick.files import write_whole
from slipstick.flow.job.machine import machine
from slipstick.flow.job.manifest import tool_versions
from slipstick.rtl.cells import cell
from slipstick.rtl.spec.array import ArrayConfig, CellMix, matmul
from slipstick.rtl.spec.fixed import Requant
from slipstick.sim.cosim import cosimulate
from slipstick.sim.vectors import GemmJob
from tests.bench.emulation import emulation
from tests.bench.page import page
from tests.flow.search.test_study import SAMPLERS, search, synthetic, volume


def cosimulation() -> dict[str, float]:
    """Products a CPU second of a 16 x 16 mixed array, both ways of driving it."""
    rng = np.random.default_rng(0)
    cells = [cell("exact8s")] * 8 + [cell("truncated8s_k6")] * 8
    config = ArrayConfig(16, 16, CellMix.by_column(cells, rows=16, columns=16))
    a, w = (rng.integers(-128, 128, shape).astype(np.int8) for shape in ((200, 64), (64, 96)))
    sums = matmul(config, a, w)
    requant = Requant.from_scale(np.full(96, 1e-3))
    job = GemmJob("bench", a, w, np.zeros(96, np.int32), requant, tuple(range(16)), sums.astype(np.int32),
                  requant(sums).astype(np.int8))  # fmt: skip
    speeds = {}
    for mode in ("stream", "file"):
        result = cosimulate(machine(config), [job], seed=0, mode=mode)
        assert result.mismatches == 0, str(result)
        speeds[mode] = a.size * w.shape[1] / result.cpu_seconds
    return speeds


def searching() -> dict[str, dict[str, float]]:
    """Hypervolume after 60 evaluations, 10 seeds, on synthetic networks whose truth differs from the prediction."""
    found = {}
    for name in SAMPLERS:
        values = [volume(search(synthetic(seed=s), trials=60, sampler_name=name, seed=s)) for s in range(10)]
        low, median, high = np.percentile(values, [25, 50, 75])
        found[name] = {"median": float(median), "quartiles": float(high - low)}
    return found


def lines(result: dict[str, Any]) -> Iterator[str]:
    """The figures as text."""
    for row in result["emulation"]["products"]:
        yield (
            f"{row['shape']}, {row['threads']} thread(s), {row['cell']}: {row['float32']:.2f} x the speed of float32, "
            f"{row['plain_loop']:.1f} x the plain loop"
        )
    for row in result["emulation"]["without_compiler"]:
        yield f"no compiler, {row['threads']} thread(s), {row['cell']}: {row['plain_loop']:.1f} x the plain loop"
    for row in result["emulation"]["models"]:
        yield (
            f"{row['model']}, {row['threads']} thread(s), {row['cell']}: forward {row['forward_times_float32']:.2f} x, "
            f"training step {row['step_times_float32']:.2f} x the time of float32"
        )
    for row in result["emulation"]["memory"]:
        yield f"{row['model']}, {row['work']}, {row['cell']}: {row['held']:.2f} x the memory of float32"
    for mode, value in result["cosim_products_per_cpu_second"].items():
        yield f"co-simulation 16 x 16, {mode}: {value:,.0f} products a CPU second"
    for name, spread in result["search_hypervolume"].items():
        yield f"search {name}: hypervolume {spread['median']:.4f}, quartiles {spread['quartiles']:.4f} apart"
    yield ", ".join(f"{tool} {version}" for tool, version in result["versions"].items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--out", type=Path, help="also write the page of the emulation")
    wanted = parser.parse_args()
    result = {"emulation": emulation(), "cosim_products_per_cpu_second": cosimulation(),
              "search_hypervolume": searching(), "versions": tool_versions()}  # fmt: skip
    if wanted.out:
        write_whole(wanted.out, lambda file: file.write_text(page(result)))
    print(json.dumps(result, indent=1) if wanted.json else "\n".join(lines(result)))


if __name__ == "__main__":
    main()
