"""The cells of docs/cells.md: families, ArithsGen's families and the evolved cells in the same flow.

    python -m tests.bench.cells

rewrites the page and its chart (``nox -s cells``); synthesis is kept, so a second run takes seconds.
"""

import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from math import log10
from pathlib import Path

import matplotlib.pyplot as plt
from ariths_gen.multi_bit_circuits import approximate_multipliers as approximate
from ariths_gen.multi_bit_circuits import multipliers
from ariths_gen.wire_components import Bus
from jinja2 import Environment, StrictUndefined

from slipstick.flow.characterise.exact import best_at
from slipstick.flow.characterise.front import front, hypervolume
from slipstick.flow.characterise.table import Characterisation, Row, characterise
from slipstick.flow.importer import from_verilog
from slipstick.flow.job.manifest import tool_versions
from slipstick.rtl.cells import FAMILIES, Cell
from slipstick.rtl.cells.registry import registered
from slipstick.rtl.cells.wrapped import signed_form

DOCS = Path(__file__).parents[2] / "docs"
WORST = 1000.0  # MAE at which the hypervolume's error axis ends
KIND = (True, (8, 8))
ERRORS: Mapping[str, Callable[[Row], float]] = {
    "MAE, all pairs alike": lambda row: row.cell.errors.mae,
    "MAE, weighted by the workload": lambda row: row.weighted.mae,
}


def ariths_gen() -> Iterator[Cell]:
    """ArithsGen's exact signed multipliers, and its approximate unsigned ones on the magnitudes of signed operands."""
    for kind in ("Array", "CarrySave", "Dadda", "Wallace"):
        yield _imported(getattr(multipliers, f"Signed{kind}Multiplier"), f"ariths_{kind.lower()}", True)
    for kind in ("BrokenArray", "BrokenCarrySave"):
        for h in range(6):
            for v in range(2 if h == 0 else h, 11, 2):
                maker = getattr(approximate, f"Unsigned{kind}Multiplier")
                yield _imported(maker, f"ariths_{kind.lower()}_h{h}_v{v}", False, horizontal_cut=h, vertical_cut=v)
    for kind in ("TruncatedArray", "TruncatedCarrySave"):
        for cut in range(1, 7):
            maker = getattr(approximate, f"Unsigned{kind}Multiplier")
            yield _imported(maker, f"ariths_{kind.lower()}_k{cut}", False, truncation_cut=cut)
    for block in range(1, 5):
        blocks = [getattr(approximate, f"UnsignedApproximateTwoBitMultiplierM{block}")] * 16
        yield _imported(
            approximate.UnsignedRecursiveMultiplier, f"ariths_recursive_m{block}", False, submultipliers=blocks
        )


def _imported(maker: Callable, name: str, signed: bool, **settings: object) -> Cell:
    circuit = maker(Bus(N=8, prefix="a"), Bus(N=8, prefix="b"), name="mul", **settings)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mul.v"
        with path.open("w") as file:
            circuit.get_v_code_flat(file)
        found = from_verilog(path, top="mul", signed=signed)
    one = signed_form(found)
    return Cell(name, "ArithsGen", True, one.netlist)


def area(found: Characterisation, rows: list[Row], error: Callable[[Row], float]) -> float:
    """Hypervolume in [0, 1] of energy over the best exact cell's and log10(1 + MAE) over log10(1 + WORST)."""
    best = best_at(found.exact[KIND], float("inf")).cost.energy_fj
    points = {r.cell.name: (r.cost.energy_fj / best, log10(1 + error(r)) / log10(1 + WORST)) for r in rows}
    return hypervolume(points, (1.0, 1.0))


def draw(sets: dict[str, list[Row]], path: Path) -> None:
    """Energy against both errors; a front for every set."""
    plt.rcParams["svg.hashsalt"] = "slipstick"
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), sharey=True, layout="constrained")
    for axis, (title, error) in zip(axes, ERRORS.items(), strict=True):
        for (name, rows), colour in zip(sets.items(), ("#7b8794", "#f0b429", "#2186eb"), strict=True):
            points = {row.cell.name: (row.cost.energy_fj, 1 + error(row)) for row in rows}
            axis.scatter(*zip(*points.values(), strict=True), s=12, color=colour, alpha=0.75, linewidths=0)
            axis.step(*zip(*(points[n] for n in front(points)), strict=True), where="post", color=colour, label=name)
        axis.set(title=title, xlabel="energy an operation (fJ)", yscale="log", xlim=(0, 1000))
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("1 + mean absolute error")
    axes[0].legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Characterise everything and write the page."""
    every = [one for one in registered() if one.widths == (8, 8)]
    found = characterise(
        [one for one in every if one.signed] + list(ariths_gen()),
        progress=lambda done, total, name: print(done, total, name, file=sys.stderr),
    )
    sets: dict[str, list[Row]] = {"families": [], "ArithsGen": [], "evolved": []}
    for row in found.rows:
        sets[row.cell.family if row.cell.family in sets else "families"].append(row)
    draw(sets, DOCS / "cells.svg")
    sets["families and evolved"] = sets["families"] + sets["evolved"]
    rows = {row.cell.name: row for row in sets["families and evolved"]}
    fronts = {
        title: front({name: (row.cost.energy_fj, error(row)) for name, row in rows.items()})[::-1]
        for title, error in ERRORS.items()
    }
    own = {sign: Counter(one.family for one in every if one.signed == sign) for sign in (True, False)}
    sources = {name: " ".join(one.source.split()) for name, one in sorted(FAMILIES.items())}
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    template = environment.from_string((Path(__file__).parent / "cells.md.jinja").read_text())
    page = template.render(
        found=found, sets=sets, rows=rows, fronts=fronts, errors=ERRORS, area=partial(area, found), own=own,
        families=sources | {"evolved": "`slipstick cells evolve`, from exact multipliers on magnitudes."},
        worst=WORST, versions=tool_versions(),
    )  # fmt: skip
    (DOCS / "cells.md").write_text("\n".join(line.rstrip() for line in page.splitlines()) + "\n")


if __name__ == "__main__":
    main()
