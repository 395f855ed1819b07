"""Cells from beside the cache come to the user's data folder whole, once, and nothing is lost."""

import json
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from slipstick.rtl.cells import Cell, build, cell, library, moved, names


def own(name: str, width: int = 8) -> Cell:
    return Cell(name, "imported", True, build("exact", width=width).netlist)


@pytest.fixture
def folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Path, Path]:
    """The former folder, made, and the one where cells belong."""
    monkeypatch.delenv(library.VARIABLE)
    monkeypatch.delenv("SLIPSTICK_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    (tmp_path / "cache" / "slipstick-cells").mkdir(parents=True)
    return tmp_path / "cache" / "slipstick-cells", tmp_path / "data" / "slipstick" / "cells"


def put(folder: Path, one: Cell) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{one.name}.json").write_text(json.dumps(library.cell_document(one, {"from": folder.name})))


def test_cells_move_once_and_are_found_by_name(folders: tuple[Path, Path]) -> None:
    former, data = folders
    put(former, own("my8s"))
    (former / "notes.txt").write_text("mine")
    with pytest.warns(UserWarning, match=r"cells moved from .* to .*: my8s\.json, notes\.txt"):
        assert cell("my8s") == own("my8s")
    assert library.provenance(data / "my8s.json") == {"from": "slipstick-cells"}
    assert (data / "notes.txt").read_text() == "mine" and not former.exists()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert names("my*") == ["my8s"]


def test_of_two_cells_of_one_name_both_are_kept_and_of_equal_ones_one(folders: tuple[Path, Path]) -> None:
    former, data = folders
    for place, width in ((former, 4), (data, 8)):
        put(place, own("my8s", width))
    put(data, own("my8s_2"))
    (former / "same.json").write_text("{}")
    (data / "same.json").write_text("{}")
    (former / "broken.json").write_text("one")
    (data / "broken.json").write_text("other")
    with pytest.warns(UserWarning, match=r"broken\.json as broken_2\.json, my8s\.json as my8s_3\.json"):
        library.names()
    assert cell("my8s").widths == (8, 8) and cell("my8s_3").widths == (4, 4)
    assert (data / "broken_2.json").read_text() == "one" and (data / "broken.json").read_text() == "other"
    assert not former.exists()


def test_cells_that_cannot_be_moved_are_found_where_they_are(folders: tuple[Path, Path]) -> None:
    former, data = folders
    put(former, own("my8s"))
    data.parent.parent.mkdir()
    data.parent.write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="some cells stay in .* and are found there"):
        assert cell("my8s") == own("my8s") and names("my*") == ["my8s"]


def test_a_failed_copy_leaves_the_cell_in_its_old_place(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    former, data = folders
    put(former, own("my8s"))

    def full(path: Path, write: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.warns(UserWarning, match="No space left"):
        patch.setattr(moved, "write_whole", full)
        assert cell("my8s") == own("my8s")
    assert not list(data.glob("*.json"))


def test_several_movers_at_once_lose_and_double_nothing(folders: tuple[Path, Path]) -> None:
    former, data = folders
    for number in range(20):
        put(former, own(f"my{number}"))
    with warnings.catch_warnings(), ThreadPoolExecutor(4) as pool:
        warnings.simplefilter("ignore")
        list(pool.map(lambda _: moved.move_into(data), range(8)))
    assert sorted(path.name for path in data.glob("*.json")) == sorted(f"my{number}.json" for number in range(20))


def test_a_named_folder_is_taken_as_it_is(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    former, _ = folders
    put(former, own("my8s"))
    monkeypatch.setenv(library.VARIABLE, str(tmp_path / "named"))
    assert names("exact8s") == ["exact8s"] and library.names() == [] and (former / "my8s.json").is_file()
