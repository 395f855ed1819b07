"""The figures of docs/array.md: the mesh on the shipped ViT, by size and library, with and without glitches.

    python -m tests.bench.array [LIBERTY ...]

rewrites the page and its picture (``nox -s array``); the shipped library comes first, then the files that are given.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from slipstick.flow.cost.baseline import BASELINE
from slipstick.flow.cost.cost import CostModel
from slipstick.flow.job.config import FlowConfig
from slipstick.flow.job.hardware import common_depth
from slipstick.flow.job.manifest import tool_versions
from slipstick.flow.job.workbench import Workbench, load_images, open_workbench
from slipstick.flow.library.liberty import DEFAULT_LIBERTY, load_liberty
from slipstick.flow.power.delays import Delays
from slipstick.flow.power.synth import clock_gate
from slipstick.model.zoo import load_model
from slipstick.rtl.cells.registry import cell
from tests.bench import array_picture

PAGE = Path(__file__).parents[2] / "docs" / "array.md"
CELLS = ("truncated_magnitude8s_k6_c2", "truncated_magnitude8s_k7_c2", "evolved8s_b60_mae140")
SIZES = (8, 16, 32)
OTHER = 16
"""Size of the array in other libraries than the shipped one."""


def main() -> None:
    """Measure everything and write the page."""
    config = FlowConfig()
    loaded = load_model(config.model)
    images = load_images(None, None, loaded)
    bench = open_workbench(
        loaded=loaded, images=images, judge_test=False, quantisation=config.quantisation, seed=config.seed
    )
    cases = [(DEFAULT_LIBERTY, side) for side in SIZES]
    cases += [(Path(name), OTHER) for name in sys.argv[1:]]
    rows = [row for path, side in cases for row in measured(bench, path, side)]
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((Path(__file__).parent / "array.md.jinja").read_text())
    page = template.render(
        rows=rows, cells=CELLS, versions=tool_versions(), clock_mhz=config.clock_mhz,
        choices=next(row["choices"] for row in rows if row["side"] == OTHER),
    )  # fmt: skip
    PAGE.write_text("\n".join(line.rstrip() for line in page.splitlines()) + "\n")
    array_picture.PICTURE.write_text(array_picture.draw())


def measured(bench: Workbench, path: Path, side: int) -> Iterator[dict[str, object]]:
    """One row without glitches, one with them: the exact cell of least energy, and what other cells save."""
    liberty = load_liberty(path)
    tile: tuple[int, int] | None = None
    for delays in (Delays.ZERO, Delays.NLDM):
        print(path.name, side, delays.value, file=sys.stderr, flush=True)
        model = CostModel.build(
            [cell(name) for name in CELLS], bench.streams(side, side, 0), bench.shapes, liberty=liberty, rows=side,
            columns=side, tile=tile, depth=common_depth(bench.recordings, side), delays=delays,
        )  # fmt: skip
        tile = model.tile
        exact, *others = (energy_uj(model, name) for name in (BASELINE, *CELLS))
        passes = [model.passes(BASELINE, layer) for layer in model.shapes]
        busy = sum(one.count * one.rows for one in passes) / sum(one.cycles for one in passes)
        yield {
            "library": liberty.describe(), "side": side, "tile": tile, "delays": delays.value, "exact": exact,
            "cell": model.baseline.chosen, "savings": [1 - one / exact for one in others], "busy": busy,
            "cycles": sum(one.cycles for one in passes), "delay_ps": model.delay_ps(BASELINE),
            "area_mm2": model.array_area_um2(BASELINE) / 1e6, "gate": clock_gate(liberty) is not None,
            "choices": model.choices,
        }  # fmt: skip


def energy_uj(model: CostModel, name: str) -> float:
    """Energy of one image with a cell in every layer, everything but memories, in uJ."""
    return sum(sum(model.layer_figures(name, layer).parts_nj.values()) for layer in model.shapes) / 1000


if __name__ == "__main__":
    main()
