"""Characterised cells: parallel equals serial, kept figures come back, savings are against exact designs."""

import json
import math

import pytest

from slipstick.flow.characterise.document import document
from slipstick.flow.characterise.exact import best_at
from slipstick.flow.characterise.operands import uniform_operands
from slipstick.flow.characterise.table import characterise
from slipstick.flow.report.cells_page import render_cells
from slipstick.model.kernels.factor import stored_factors
from slipstick.rtl import cells

from .test_operands import recorded

pytestmark = pytest.mark.slow  # Yosys maps all exact designs of three kinds

SAVING = "truncated_magnitude8s_k6_c2"
NAMES = ("exact8s", "truncated8s_k6", "truncated8u_k6", "drum8s_k4", "truncated12s_k8", SAVING)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLIPSTICK_CACHE", str(tmp_path_factory.mktemp("cache")))
        seen: list[str] = []
        chosen = [cells.cell(name) for name in NAMES]
        first = characterise(chosen, operands=recorded(), progress=lambda done, total, name: seen.append(name))
        again = characterise(chosen, operands=recorded(), workers=1, progress=lambda *_: seen.append("again"))
        assert sorted(seen) == sorted(NAMES)  # each once, and nothing the second time
        assert document(first) == document(again)
        yield first


def test_a_cell_saves_only_against_exact_designs_at_least_as_fast(found) -> None:
    for row in found.rows:
        points = found.exact[row.cell.signed, row.cell.widths]
        best = best_at(points, row.cost.delay_ps).cost
        fast = [point.cost for point in points if point.cost.delay_ps <= row.cost.delay_ps]
        assert best.energy_fj == (min(cost.energy_fj for cost in fast) if fast else best.energy_fj)
        assert found.saving(row).multiplier == 1 - row.cost.energy_fj / best.energy_fj


def test_no_exact_cell_saves_anything_at_any_level(found) -> None:
    saving = found.saving(found.rows[0])
    assert max(vars(saving).values()) <= 0


def test_savings_in_the_array_shrink_with_all_that_is_counted(found) -> None:
    saving = found.saving(next(row for row in found.rows if row.cell.name == SAVING))
    assert saving.mac > saving.array > 0 and saving.array > saving.inference > 0


def test_only_signed_8x8_cells_have_figures_of_arrays(found) -> None:
    for row in found.rows:
        in_arrays = row.cell.signed and row.cell.widths == (8, 8)
        assert (row.mac_fj is not None) == (row.array_fj is not None) == (row.inference_fj is not None) == in_arrays
        assert math.isnan(found.saving(row).mac) != in_arrays


def test_rank_is_that_of_the_factors_the_emulation_uses(found) -> None:
    for row in found.rows:
        assert row.rank == (None if sum(row.cell.widths) > 16 else stored_factors(row.cell.table).rank)


def test_the_document_is_json_and_the_page_names_every_cell(found) -> None:
    figures = document(found)
    assert json.loads(json.dumps(figures, allow_nan=False))["cells"][0]["name"] == "exact8s"
    page = render_cells(figures)
    assert all(f"<code>{name}</code>" in page for name in NAMES) and "8 x 8, unsigned" in page


def test_cells_of_other_widths_see_uniform_operands(found) -> None:
    wide = next(row for row in found.rows if row.cell.widths == (12, 12))
    assert wide.weighted.mae == wide.cell.errors.mae
    assert uniform_operands((12, 12)).digest == uniform_operands((12, 12)).digest
