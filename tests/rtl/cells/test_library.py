"""A user's own cells: kept whole, found by name, damage named."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from slipstick.errors import UnknownName, UserError
from slipstick.rtl.cells import Cell, build, cell, cells, library, names


def own(name: str = "my8s", width: int = 8) -> Cell:
    return Cell(name, "imported", True, build("exact", width=width).netlist)


def test_a_saved_cell_is_found_by_name_and_pattern(own_cells: Path) -> None:
    path = library.save(own(), {"sources": {"my.v": "00"}})
    assert path == own_cells / "my8s.json"
    assert cell("my8s") == own() and cell("my8s").family == "imported"
    np.testing.assert_array_equal(cell("my8s").table, own().table)
    assert names("my*") == ["my8s"] and "my8s" in names() and [c.name for c in cells("my*")] == ["my8s"]
    assert library.provenance(path) == {"sources": {"my.v": "00"}}


def test_a_name_is_taken_until_it_is_replaced() -> None:
    library.save(own(), {})
    with pytest.raises(UserError, match="'my8s' is in .* already; give another --name, or --force"):
        library.save(own(width=4), {})
    assert cell("my8s").widths == (8, 8)
    library.save(own(width=4), {}, replace=True)
    assert cell("my8s").widths == (4, 4)


@pytest.mark.parametrize("name", ["", "8my", "../my", "my.v", "my cell", "a" * 64, "my:3", "my,x", "m\n", "mé"])
def test_names_that_are_no_names_are_refused(name: str, own_cells: Path) -> None:
    with pytest.raises(UserError, match="cell name"):
        library.save(own(name), {})
    assert list(own_cells.iterdir()) == []
    assert library.path_of(name) is None


def test_an_unknown_name_shows_near_names_of_the_users_cells_too() -> None:
    library.save(own("frobnicate"), {})
    with pytest.raises(UnknownName, match="near names: frobnicate"):
        cell("frobnicat")


def damage(text: str) -> dict[str, str]:
    document = json.loads(text)
    changed = {
        "gate operator": {"gates": [[7, 2, 3], *document["gates"][1:]]},
        "gate order": {"gates": [[0, 5000, 3], *document["gates"][1:]]},
        "gate shape": {"gates": [[0, 2]]},
        "outputs": {"outputs": document["outputs"][:-1]},
        "output node": {"outputs": [*document["outputs"][:-1], 9999]},
        "widths": {"widths": [8, 80]},
        "one gate swapped": {
            "gates": [[1 - document["gates"][0][0] % 2, *document["gates"][0][1:]], *document["gates"][1:]]
        },
        "name": {"name": "other"},
        "no provenance": {"provenance": None},
    }
    return {
        "cut": text[: len(text) // 2], "empty": "", "a list": "[]", "words": '"cell"', "deep": "[" * 100_000,
        **{what: json.dumps(document | change) for what, change in changed.items()},
    }  # fmt: skip


def test_damage_is_named_and_other_cells_are_not_affected(own_cells: Path) -> None:
    library.save(own(), {})
    library.save(own("my9"), {})
    whole = (own_cells / "my8s.json").read_text()
    for what, text in damage(whole).items():
        (own_cells / "my8s.json").write_text(text)
        with pytest.raises(UserError, match=r"my8s.json is no cell \(.*\); import it again") as caught:
            cell("my8s")
        assert "\n" not in str(caught.value), what
        assert cell("exact8s").errors.wce == 0 and cell("my9") == own("my9")
        with pytest.warns(UserWarning, match="left out: .*my8s.json"):
            assert [one.name for one in cells("my*")] == ["my9"]
        with pytest.raises(UserError, match=r"my8s\.json"):
            cells("my8*")


def test_other_files_in_the_folder_are_no_cells(own_cells: Path) -> None:
    (own_cells / "notes.txt").write_text("x")
    (own_cells / "not-a-name.json").write_text("x")
    (own_cells / "folder.json").mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert all(one.family != "imported" for one in cells("*8s"))


def test_the_folder_is_that_of_user_data_unless_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(library.VARIABLE)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert library.folder() == tmp_path / "data" / "slipstick" / "cells"
    assert library.names() == []
