"""Speed and quality as ratios within one run; prints a table and, with --json, one JSON document.

Example: nox -s bench -- --json
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from slipstick.flow.job.manifest import tool_versions
from slipstick.model.gemm import PreparedWeights
from slipstick.rtl.cells import cell
from slipstick.rtl.spec.array import ArrayConfig, CellMix, matmul
from slipstick.rtl.spec.fixed import Requant
from slipstick.sim.cosim import cosimulate
from slipstick.sim.vectors import GemmJob

sys.path.insert(0, str(Path(__file__).parents[1] / "flow" / "search"))
from test_study import SAMPLERS, search, synthetic, volume

ROUNDS = 7
SHAPES = ((1576, 192, 576), (3200, 128, 384), (3200, 256, 128))
CELLS = ("exact8s", "drum8s_k4", "recursive8s", "broken_array8s_h2_v6", "truncated8s_k7", "mitchell8s")


def cpu_seconds(run: Callable[[], object]) -> float:
    started = time.process_time()
    run()
    return time.process_time() - started


def emulation(shape: tuple[int, int, int]) -> dict[str, Any]:
    """One thread: approximate products against float32 matmul of the same shape, paired in every round."""
    m, k, n = shape
    rng = np.random.default_rng(0)
    a, w = (torch.from_numpy(rng.integers(-128, 128, s).astype(np.int8)) for s in ((m, k), (k, n)))
    left, right = a.float(), w.float()
    prepared = {name: PreparedWeights(w, cell(name)) for name in CELLS}
    ratios: dict[str, list[float]] = {name: [] for name in CELLS}
    for _ in range(ROUNDS):
        base = cpu_seconds(lambda: [left @ right for _ in range(4)]) / 4
        for name in CELLS:
            ratios[name].append(base / cpu_seconds(lambda name=name: prepared[name].matmul(a)))
    table = torch.from_numpy(cell("truncated8s_k7").table.astype(np.int32))
    some, columns = a[:64].view(torch.uint8).long(), w.view(torch.uint8).long()
    indexing = cpu_seconds(lambda: table[some[:, :, None], columns[None]].sum(1)) * m / len(some)
    return {
        "shape": shape,
        "speed_against_float32": {name: statistics.median(values) for name, values in ratios.items()},
        "truncated8s_k7_against_table_indexing": indexing / cpu_seconds(lambda: prepared["truncated8s_k7"].matmul(a)),
    }


def cosimulation() -> dict[str, float]:
    """Cycles a CPU second of an 8 x 8 mixed array, both ways of driving it."""
    rng = np.random.default_rng(0)
    cells = [cell("exact8s")] * 4 + [cell("truncated8s_k6")] * 4
    config = ArrayConfig(8, 8, CellMix.by_column(cells, rows=8, columns=8))
    a, w = (rng.integers(-128, 128, shape).astype(np.int8) for shape in ((200, 64), (64, 96)))
    sums = matmul(config, a, w)
    requant = Requant.from_scale(np.full(96, 1e-3))
    job = GemmJob("bench", a, w, np.zeros(96, np.int32), requant, tuple(range(8)), sums.astype(np.int32),
                  requant(sums).astype(np.int8))  # fmt: skip
    speeds = {}
    for mode in ("stream", "file"):
        result = cosimulate(config, [job], seed=0, mode=mode)
        assert result.mismatches == 0, str(result)
        speeds[mode] = result.cycles_per_cpu_second
    return speeds


def searching() -> dict[str, dict[str, float]]:
    """Hypervolume after 60 evaluations, 10 seeds, on synthetic networks whose truth differs from the prediction."""
    found = {}
    for name in SAMPLERS:
        values = [volume(search(synthetic(seed=s), trials=60, sampler_name=name, seed=s)) for s in range(10)]
        low, median, high = np.percentile(values, [25, 50, 75])
        found[name] = {"median": float(median), "quartiles": float(high - low)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    wants_json = parser.parse_args().json
    torch.set_num_threads(1)
    result = {"emulation": [emulation(shape) for shape in SHAPES], "cosim_cycles_per_cpu_second": cosimulation(),
              "search_hypervolume": searching(), "versions": tool_versions()}  # fmt: skip
    if wants_json:
        print(json.dumps(result, indent=1))
        return
    for row in result["emulation"]:
        speeds = ", ".join(f"{name} {value:.2f}" for name, value in row["speed_against_float32"].items())
        print(f"emulation {row['shape']}, speed against float32 matmul (1 thread): {speeds}; "
              f"truncated8s_k7 against table indexing: {row['truncated8s_k7_against_table_indexing']:.0f}")  # fmt: skip
    for mode, value in result["cosim_cycles_per_cpu_second"].items():
        print(f"co-simulation 8 x 8, {mode}: {value:,.0f} cycles a CPU second")
    for name, spread in result["search_hypervolume"].items():
        print(f"search {name}: hypervolume {spread['median']:.4f}, quartiles {spread['quartiles']:.4f} apart")
    print(", ".join(f"{tool} {version}" for tool, version in result["versions"].items()))


if __name__ == "__main__":
    main()
