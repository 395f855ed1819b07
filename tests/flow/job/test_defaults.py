"""What a plain run searches."""

from slipstick.flow.job.pipeline import CELLS, chosen_cells


def test_new_cells_do_not_change_what_a_plain_run_searches() -> None:
    """A user's results stay what they were when the library grows: these 24 cells, the exact one first."""
    cells = chosen_cells(CELLS)
    assert len(cells) == 24 and cells[0].name == "exact8s"
    assert {cell.family for cell in cells} == {"exact", "truncated", "broken_array", "recursive", "drum", "mitchell"}
    assert not any(dict(cell.parameters).get("c") or dict(cell.parameters).get("o") for cell in cells)
