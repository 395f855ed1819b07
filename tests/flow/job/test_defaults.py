"""What a plain run searches."""

from slipstick.flow.job.config import CELLS, chosen_cells


def test_new_families_do_not_change_what_a_plain_run_searches() -> None:
    """A user's results stay what they were when the library grows: these three families, the exact cell first."""
    cells = chosen_cells(CELLS)
    assert len(cells) == 29 and cells[0].name == "exact8s"
    assert {cell.family for cell in cells} == {"exact", "truncated", "truncated_magnitude", "evolved"}
