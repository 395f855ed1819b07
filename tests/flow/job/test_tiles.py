"""From an assignment to tiles: shares, order, limits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstick.errors import UserError
from slipstick.flow.job.tiles import apportion, place


@given(st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.integers(1, 10**9), min_size=1, max_size=8),
       st.integers(8, 64))  # fmt: skip
def test_every_cell_gets_a_column_and_all_columns_are_given(load: dict[str, int], columns: int) -> None:
    share = apportion(load, columns)
    assert sum(share.values()) == columns and min(share.values()) >= 1
    for name in load:  # taking a column away from anyone would make it the bottleneck
        if share[name] > 1:
            others = max(load[x] / share[x] for x in load)
            assert load[name] / (share[name] - 1) >= others - 1e-9 or share[name] == 1


def test_tiles_follow_the_macs_and_the_mixed_array_holds_the_same_columns() -> None:
    macs = {"a": 900, "b": 300, "c": 400}
    assignment = {"a": "exact8s", "b": "truncated8s_k6", "c": "exact8s"}
    placed = place(assignment, macs, rows=4, columns=16)
    assert [(tile.cell.name, tile.config.columns, tile.layers) for tile in placed.tiles] == [
        ("exact8s", 13, ("a", "c")), ("truncated8s_k6", 3, ("b",)),
    ]  # fmt: skip
    assert placed.mixed.describe() == "4 x 16: 13 x exact8s + 3 x truncated8s_k6"
    assert placed.tiles[1].name == "tile_1_truncated8s_k6"
    assert 0.9 < placed.utilisation <= 1


def test_more_cells_than_columns_is_refused() -> None:
    assignment = {"a": "exact8s", "b": "truncated8s_k6"}
    with pytest.raises(UserError, match="2 different cells do not fit into 1 columns"):
        place(assignment, {"a": 1, "b": 1}, rows=4, columns=1)
