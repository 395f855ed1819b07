"""The cost of docs/pwl_cost.md: piecewise linear units in int8, int32, float32 and bfloat16, on real GELU inputs.

    python -m tests.bench.pwl_cost

rewrites the page (``nox -s pwl_cost``).
"""

import math
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from jinja2 import Environment, StrictUndefined

from slipstick.flow.job.manifest import tool_versions
from slipstick.flow.library.liberty import default_liberty
from slipstick.model.data import shipped
from slipstick.model.zoo import load_model
from tests.bench.pwl_units.cost import SHORT_LINES, Lines, UnitCost, best_unit, kinds

PAGE = Path(__file__).parents[2] / "docs" / "pwl_cost.md"
CLOCK_MHZ = 80
FAST_MHZ = 500  # the published clock
ENTRIES = (8, 16)
KINDS = ("int8", "int8 requantised", "bfloat16", "int32", "float32", SHORT_LINES)
INPUT_FRACTION, SHIFT = 5, 6  # codes of scale 2^-5, results of scale 2^-5
WORDS, IMAGES = 2048, 16
PUBLISHED = {"int8": (961, 0.40), "int32": (5243, 1.93), "float32": (5135, 2.02)}


def gelu_inputs() -> np.ndarray:
    """What the GELUs of the shipped model see, float64 [WORDS]: runs of channels of one token, layer after layer."""
    model = load_model()
    seen: list[np.ndarray] = []

    def record(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        seen.append(inputs[0].detach().double().numpy())

    for module in model.module.modules():
        if isinstance(module, torch.nn.GELU):
            module.register_forward_hook(record)
    with torch.no_grad():
        model.module(model.prepare(shipped("calibration")[:IMAGES].pixels))
    share = WORDS // len(seen) + 1
    rng = np.random.default_rng(3)
    rows = [layer.reshape(-1, layer.shape[-1]) for layer in seen]
    tokens = [layer[rng.permutation(len(layer))[: -(-share // layer.shape[1])]] for layer in rows]
    return np.concatenate([some.ravel()[:share] for some in tokens])[:WORDS]


def gelu_lines(entries: int) -> Lines:
    """Chords of GELU through equidistant points of (-4, 4), 0 and x outside."""
    points = np.linspace(-4, 4, entries + 1)
    values = np.array([x * (1 + math.erf(x / math.sqrt(2))) / 2 for x in points])
    slopes = np.diff(values) / np.diff(points)
    intercepts = values[:-1] - slopes * points[:-1]
    slopes[[0, -1]], intercepts[[0, -1]] = (0, 1), 0
    return Lines(points[1:-1], slopes, intercepts)


def measure(name: str, entries: int, clock_mhz: float, inputs: np.ndarray) -> UnitCost:
    """One kind of unit at one clock."""
    print(name, entries, clock_mhz, file=sys.stderr)
    kind = kinds(INPUT_FRACTION, SHIFT)[name]
    return best_unit(kind, gelu_lines(entries), inputs, default_liberty(), clock_ps=1e6 / clock_mhz)


def main() -> None:
    """Measure every unit and write the page."""
    inputs = gelu_inputs()
    wanted = [(name, entries, CLOCK_MHZ) for entries in ENTRIES for name in KINDS]
    wanted += [(name, ENTRIES[0], FAST_MHZ) for name in ("int8", "float32")]
    with ProcessPoolExecutor(2) as pool:
        *costs, fast, fast_rival = pool.map(measure, *zip(*wanted, strict=True), [inputs] * len(wanted))
    by_kind = {(one.kind, one.entries): one for one in costs}
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((Path(__file__).parent / "pwl_cost.md.jinja").read_text())
    page = template.render(
        costs=costs, by_kind=by_kind, clock_mhz=CLOCK_MHZ, library=default_liberty().name, words=WORDS,
        images=IMAGES, published=PUBLISHED, fast={"clock_mhz": FAST_MHZ, "cost": fast, "rival": fast_rival},
        versions=tool_versions(),
    )  # fmt: skip
    PAGE.write_text("\n".join(line.rstrip() for line in page.splitlines()) + "\n")


if __name__ == "__main__":
    main()
