"""The power of docs/power.md: against OpenSTA, with glitches, composed and flat.

    python -m tests.bench.power

rewrites the page (``nox -s power``). Parts whose tool is absent say so.
"""

import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from jinja2 import Environment, StrictUndefined

from slipstick.flow.commands.synth import synthetic_stream
from slipstick.flow.cost.cost import CostModel
from slipstick.flow.cost.flat import compare
from slipstick.flow.cost.multiplier import MULTIPLIER, multiplier_verilog
from slipstick.flow.job.manifest import tool_versions
from slipstick.flow.library.liberty import default_liberty
from slipstick.flow.power.delays import Delays
from slipstick.flow.power.gates import MappedNetlist
from slipstick.flow.power.measure import measure_power, random_vectors
from slipstick.flow.power.power import PowerModel
from slipstick.flow.power.synth import synthesise
from slipstick.rtl.cells.registry import cell
from slipstick.rtl.spec.cycles import Shape
from slipstick.store import Store
from tests.bench.opensta import HOLD, VECTORS, against_opensta, rules, version
from tests.bench.published import ARCHITECTURES, architectures, published
from tests.flow.power.opensta import CLOCK_PS
from tests.flow.power.opensta_2019 import DENSITY, DUTY

PAGE = Path(__file__).parents[2] / "docs" / "power.md"
GLITCHING = (
    "exact8s", "exact_booth8s", "exact_magnitude8s", "truncated8s_k7", "truncated_magnitude8s_k5_c2",
    "evolved8s_b60_mae75",
)  # fmt: skip
MIXES = (
    ("exact_multiples8s",), ("truncated_magnitude8s_k6_c2",), ("exact_multiples8s", "truncated_magnitude8s_k6_c2"),
    ("evolved8s_b60_mae140",),
)  # fmt: skip
MESHES = ((4, 4), (8, 4), (16, 16))


def glitches() -> Iterator[dict[str, object]]:
    """Energies of cells under three delay models, on uniform and on weight-stationary operands."""
    liberty = default_liberty()
    rng = np.random.default_rng(7)
    weights = np.repeat(np.clip(np.rint(rng.normal(0, 32, VECTORS // HOLD)), -127, 127).astype(np.int64), HOLD)
    stationary = {"a": np.clip(np.rint(rng.laplace(0, 16, VECTORS)), -128, 127).astype(np.int64), "w": weights}
    for name in GLITCHING:
        design = synthesise(multiplier_verilog(cell(name)), MULTIPLIER, liberty, clock_ps=CLOCK_PS)
        uniform = random_vectors(MappedNetlist.build(design, liberty), VECTORS, seed=7)
        yield {
            "cell": name,
            "delay": measure_power(design, liberty, uniform, clock_mhz=100).delay_ps,
            **{
                kind: [measure_power(design, liberty, words, clock_mhz=100, delays=one).cycle_fj for one in Delays]
                for kind, words in (("uniform", uniform), ("stationary", stationary))
            },
        }


def composed() -> Iterator[dict[str, object]]:
    """Area and energy of arrays composed from their parts, over those of the same arrays synthesised flat."""
    for rows, columns in MESHES:
        for mix in MIXES:
            tiles = [synthetic_stream(rows, columns, seed) for seed in range(4)]
            for delays in (Delays.ZERO, Delays.NLDM):
                model = CostModel.build(
                    [cell(name) for name in mix], {"x": tiles}, {"x": Shape(64, rows, columns)}, rows=rows,
                    columns=columns, delays=delays,
                )  # fmt: skip
                found = compare(model, mix * (columns // len(mix)), "x")
                size = f"{rows} x {columns}"
                yield {"size": size, "mix": " + ".join(mix), "delays": delays.value, "energy": found.energy_ratio}


def seconds() -> dict[str, float]:
    """Time of one cell on 16,384 vectors: synthesis and power with nothing kept, then kept."""
    liberty = default_liberty()
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        stores = {kind: Store(kind, Path(name)) for kind in ("synth", "power")}

        def work() -> None:
            text = multiplier_verilog(cell("exact8s"))
            design = synthesise(text, MULTIPLIER, liberty, clock_ps=CLOCK_PS, store=stores["synth"])
            words = {port: np.random.default_rng(1).integers(0, 256, VECTORS) for port in ("a", "w")}
            measure_power(design, liberty, words, clock_mhz=100, store=stores["power"])

        found["cold"], found["warm"] = _timed(work), min(_timed(work) for _ in range(5))
        design = synthesise(multiplier_verilog(cell("exact8s")), MULTIPLIER, liberty, clock_ps=CLOCK_PS)
        netlist = MappedNetlist.build(design, liberty)
        found["model"] = _timed(lambda: PowerModel(netlist, clock_ps=CLOCK_PS))
    return found


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


KEPT = "The last run that had them:"
SECTIONS = {
    "reference": against_opensta, "rules": rules, "glitches": glitches, "composed": composed, "published": published,
    "architectures": architectures,
}  # fmt: skip


def kept(title: str) -> str:
    """What the page has under a heading, for a part that cannot be measured here; "" where there is nothing."""
    text = PAGE.read_text() if PAGE.exists() else ""
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return found[1].rpartition(KEPT)[2].strip() if found else ""


def main() -> None:
    """Measure everything and write the page."""
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((Path(__file__).parent / "power.md.jinja").read_text())
    times = seconds()
    parts: dict[str, list] = {}
    for name, rows in SECTIONS.items():
        print(name, file=sys.stderr)
        parts[name] = list(rows())
    page = template.render(
        **parts, times=times, sta=version(), density=DENSITY, duty=DUTY, vectors=VECTORS, hold=HOLD,
        versions=tool_versions(), kept=KEPT, last_published=kept("Published figures"),
        generated={name: figures[2] for name, figures in ARCHITECTURES.items()},
    )  # fmt: skip
    PAGE.write_text("\n".join(line.rstrip() for line in page.splitlines()) + "\n")


if __name__ == "__main__":
    main()
