"""Energy and area of the shipped ViT's weightless MLPs beside its MLPs on the array, for docs/weightless.md."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from slipstick.errors import UserError
from slipstick.flow.cost.cost import CLOCK_MHZ
from slipstick.flow.cost.lutnet_composed import ComposedCost, composed_cost
from slipstick.flow.job.manifest import tool_versions
from slipstick.flow.library.liberty import default_liberty
from slipstick.model.data import shipped
from slipstick.model.weightless.tokens import record_tokens
from slipstick.rtl.lutnet.unit import LutNetUnit
from tests.bench.pwl_units.cost import UnitCost, best_unit, kinds

from .pwl_cost import INPUT_FRACTION, SHIFT, gelu_inputs, gelu_lines
from .weightless_hardware import trained_model

PAGE = Path(__file__).parents[2] / "docs" / "weightless.md"
HEADING = "## Energy and area"
DELAYS = ("zero", "nldm")
CELLS = ("exact", "chosen")
SLICE_STARTS = (5, 70)  # first outputs of the slices of the sums, anywhere


@dataclass(frozen=True)
class Measured:
    """A unit as it is measured: ``columns`` outputs in each of two slices, on ``tokens``."""

    lanes: int
    parallel: int
    columns: int
    tokens: int


UNITS = {one.parallel: one for one in (Measured(8, 64, 2, 14), Measured(128, 1024, 1, 40), Measured(128, 2048, 1, 40))}
"""By the bits that a unit adds in a cycle."""


@dataclass(frozen=True)
class MlpOnArray:
    """One block's MLP on the array, nJ a token: at the array level, at the inference's, and what requantises fc2."""

    array: float
    inference: float
    requantise_fc2: float


@dataclass(frozen=True)
class FlowSummary:
    """The ``summary.json`` of ``slipstick flow``: one of exact and mixed cells is meant by ``which``."""

    facts: dict[str, Any]
    tokens: int

    @classmethod
    def read(cls, path: Path, delays: str, tokens: int) -> "FlowSummary":
        """UserError for a summary of another clock, model or kind of delays."""
        facts = json.loads(path.read_text())
        config = facts["config"]
        if (config["delays"], config["clock_mhz"], config["model"]) != (delays, CLOCK_MHZ, "vit-cifar10"):
            raise UserError(f"{path}: not a run of slipstick flow --delays {delays} at {CLOCK_MHZ:g} MHz")
        return cls(facts, tokens)

    def mlp(self, block: str, which: str) -> MlpOnArray:
        """A block's MLP, requantisers at the level of the inference only."""
        names = [f"{block}.fc1", f"{block}.fc2"]
        levels = [self.facts["energy_nj"]["layers"][name][which] for name in names]
        requantise = self.facts["power"]["layers"][names[1]][which]["parts_nj"]["requantise"]
        array, inference = (sum(one[level] for one in levels) / self.tokens for level in ("array", "inference"))
        return MlpOnArray(array, inference, requantise / self.tokens)

    def image_uj(self, which: str) -> float:
        """A whole image at the level of the inference."""
        return 1e-3 * self.facts["energy_nj"][which]["inference"]

    def area_mm2(self, which: str) -> float:
        """Of the array or arrays."""
        return 1e-6 * self.facts["accelerator"]["area_um2"][which]


@dataclass(frozen=True)
class Row:
    """A unit beside the same block's MLP; pairs without glitches and with NLDM's, energies in nJ a token."""

    measured: Measured
    block: str
    cost: ComposedCost
    mlps: dict[tuple[str, str], MlpOnArray]

    def array_ratio(self, which: str, delays: str) -> float:
        """MLP over weightless, gates alone."""
        return self.mlps[which, delays].array / (1e-6 * self.cost.gates_fj[DELAYS.index(delays)])

    def whole_nj(self, which: str, delays: str) -> float:
        """A token at the level of the inference, its outputs requantised as fc2's are."""
        return 1e-6 * self.cost.whole_fj[DELAYS.index(delays)] + self.mlps[which, delays].requantise_fc2

    def inference_ratio(self, which: str, delays: str) -> float:
        """MLP over weightless with clock tree, wires and requantisers."""
        return self.mlps[which, delays].inference / self.whole_nj(which, delays)


def image_uj(row: Row, summary: FlowSummary, blocks: list[str], which: str, delays: str) -> float:
    """A whole image with all MLPs replaced: each by a unit like ``row``'s, which leaks for the time of the image.

    Their clocks stand still while there are no tokens.
    """
    mlps = sum(summary.mlp(block, which).inference for block in blocks)
    tokens_uj = 1e-3 * summary.tokens
    cycles = summary.facts["power"][which]["cycles"]
    leaking = 1e-9 * len(blocks) * row.cost.leakage_fj * cycles
    return summary.image_uj(which) + tokens_uj * (len(blocks) * row.whole_nj(which, delays) - mlps) + leaking


def gelu_cost() -> UnitCost:
    """A GELU unit of eight lines that requantises, at the array's clock."""
    kind = kinds(INPUT_FRACTION, SHIFT)["int8 requantised"]
    return best_unit(kind, gelu_lines(8), gelu_inputs(), default_liberty(), clock_ps=1e6 / CLOCK_MHZ)


def cost(trained: Path, zero: Path, nldm: Path, blocks: tuple[int, ...], parallel: tuple[int, ...]) -> None:
    """Measure units of these blocks and write their section of the page; summaries are ``slipstick flow``'s.

    ``parallel`` are keys of UNITS.
    """
    loaded, specs = trained_model(trained)
    tokens = record_tokens(loaded.module, loaded.prepare(shipped("test")[:1].pixels))
    count = len(tokens[f"blocks.{blocks[0]}.mlp"].codes)
    summaries = {"zero": FlowSummary.read(zero, "zero", count), "nldm": FlowSummary.read(nldm, "nldm", count)}
    rows = []
    for measured in (UNITS[bits] for bits in parallel):
        for block in (f"blocks.{number}.mlp" for number in blocks):
            unit = LutNetUnit(specs[block], measured.lanes, measured.parallel)
            slices = [list(range(start, start + measured.columns)) for start in SLICE_STARTS]
            found = composed_cost(unit, tokens[block].codes[: measured.tokens], slices, default_liberty())
            mlps = {(which, one): summaries[one].mlp(block, which) for which in CELLS for one in DELAYS}
            rows.append(Row(measured, block, found, mlps))
            print(measured, block, "nJ:", *(f"{1e-6 * one:.1f}" for one in found.gates_fj), flush=True)
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(Path(__file__).with_name("weightless_cost.md.jinja").read_text())
    first = summaries["zero"].facts["power"]["layers"][f"{rows[0].block}.fc1"]["exact"]
    text = template.render(
        rows=rows, summaries=summaries, tokens=count, names=list(specs), image_uj=image_uj, gelu=gelu_cost(),
        hidden=first["macs"] // (count * len(specs[rows[0].block].thresholds)), versions=tool_versions(),
        model=trained.name, outputs=specs[rows[0].block].entries.shape[1], clock_mhz=CLOCK_MHZ, heading=HEADING,
    )  # fmt: skip
    write_section(PAGE, text)


def write_section(page: Path, text: str) -> None:
    """Replace the section HEADING of a page, or add it at the end."""
    before, _, after = page.read_text().partition(HEADING)
    rest = after.partition("\n## ")[2]
    page.write_text(before.rstrip() + "\n\n" + text.strip() + "\n" + (f"\n## {rest}" if rest else ""))
