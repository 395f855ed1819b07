"""Caches under faults: whatever happens to them, results are right, and what is wrong is told once."""

import errno
import multiprocessing
import os
import shutil
import tempfile
import warnings
from pathlib import Path

import pytest

from slipstick import store as store_module
from slipstick.errors import Notice, UserError
from slipstick.files import locked, write_text
from slipstick.flow.library.liberty import DEFAULT_LIBERTY, load_liberty
from slipstick.flow.power.gates import MappedNetlist
from slipstick.flow.power.measure import measure_power, random_vectors
from slipstick.flow.power.synth import synthesise
from slipstick.store import Store, cache_root, caches_of_tools

VALUE = {"a": [1, 2.5, None, "é"], "b": {}}
ADDER = "module top(input [3:0] x, y, output [4:0] s); assign s = x + y; endmodule"
READ_ONLY, FULL = OSError(errno.EROFS, "Read-only file system"), OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch):
    """A process that has told nothing yet and keeps no results of its own."""
    for name, empty in (("_told", set()), ("_unsaved", {}), ("_temporary", {})):
        monkeypatch.setattr(store_module, name, empty)


def fail(error):
    def failing(*_, **__):
        raise error

    return failing


@pytest.fixture(params=["a file in the way", "read-only", "full", "full while writing", "absent disk"])
def unwritable(request, tmp_path, monkeypatch):
    """A cache root that nothing can be written to."""
    root = tmp_path / "cache"
    if request.param == "a file in the way":
        root.write_text("mine")
    elif request.param == "absent disk":
        root = Path("/proc/slipstick/cache")
    elif request.param == "full while writing":
        for name in ("write_text", "write_bytes"):
            monkeypatch.setattr(Path, name, fail(FULL))
        monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1 << 40, 1 << 40, 0))
    else:
        error = READ_ONLY if request.param == "read-only" else FULL
        real, mkdir = Path.mkdir, tempfile.mkdtemp

        def below(path):
            return Path(path or "/").is_relative_to(root)

        monkeypatch.setattr(Path, "mkdir", lambda p, *a, **k: fail(error)() if below(p) else real(p, *a, **k))
        monkeypatch.setattr(
            tempfile,
            "mkdtemp",
            lambda suffix=None, prefix=None, dir=None: fail(error)() if below(dir) else mkdir(suffix, prefix, dir),
        )
    return root


def told(record):
    return [str(one.message) for one in record if issubclass(one.category, Notice)]


@pytest.mark.parametrize("value", [VALUE, None, [], 0, "text", float("inf")])
def test_a_value_is_computed_once(tmp_path, value):
    store, calls = Store("kind", tmp_path), []
    for _ in range(2):
        assert store.json("key", lambda: calls.append(1) or value) == value
    assert len(calls) == 1 and store.get("key") == value and store.get("other") is None
    assert [path.name for path in store.folder.iterdir()] == ["key.json"]


DAMAGE = {
    **{f"cut to {length}": lambda data, n=length: data[: int(n * len(data))] for length in (0, 0.01, 0.3, 0.7, 0.99)},
    "without its last byte": lambda data: data[:-1],
    "a byte more": lambda data: data + b" ",
    "one digit changed": lambda data: data.replace(b"2.5", b"2.6"),
    "null": lambda _: b"null",
    "another schema": lambda _: b'{"a": 1}',
    "without a checksum": lambda data: data[data.index(b'"value": ') + 9 : -2],
    "binary": lambda _: bytes(range(256)),
    "deep": lambda _: b"[" * 100_000,
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_entry_is_computed_again_with_one_warning(tmp_path, how):
    store = Store("kind", tmp_path)
    for key in ("one", "two"):
        store.put(key, VALUE)
        path = store.folder / f"{key}.json"
        path.write_bytes(DAMAGE[how](path.read_bytes()))
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        assert store.json("one", lambda: ["one"]) == ["one"] and store.json("two", lambda: ["two"]) == ["two"]
        assert store.json("one", fail(AssertionError)) == ["one"]
    (notice,) = told(record)
    assert "one.json is damaged or of another version" in notice


def test_an_entry_under_another_key_is_not_taken(tmp_path):
    store = Store("kind", tmp_path)
    store.put("one", VALUE)
    shutil.copy(store.folder / "one.json", store.folder / "two.json")
    with pytest.warns(Notice, match=r"two\.json"):
        assert store.get("two") is None


def test_a_folder_in_the_place_of_an_entry_does_not_stop_the_work(tmp_path):
    store = Store("kind", tmp_path)
    (store.folder / "key.json" / "deep").mkdir(parents=True)
    with pytest.warns(Notice):
        assert store.json("key", lambda: 1) == 1
    assert store.json("key", fail(AssertionError)) == 1


def test_without_a_cache_results_live_in_the_process_and_it_is_told_once(unwritable):
    store = Store("kind", unwritable)
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        for key in ("one", "two"):
            assert store.json(key, lambda: VALUE) == VALUE
            assert store.json(key, fail(AssertionError)) == VALUE == store.get(key)
        for expected in (False, True):
            with store.building("build") as (folder, ready):
                assert ready is expected and not folder.is_relative_to(unwritable)
                if not ready:
                    (folder / "made").open("w").close()
                assert (folder / "made").exists()
    (notice,) = told(record)
    assert str(unwritable) in notice and "not kept" in notice


def test_a_temporary_build_that_fails_is_not_taken(tmp_path):
    (tmp_path / "file").write_text("")
    store = Store("kind", tmp_path / "file")
    with pytest.warns(Notice), pytest.raises(ValueError, match="stop"), store.building("key") as (folder, _):
        raise ValueError("stop")
    assert not folder.exists()
    with store.building("key") as (_, ready):
        assert not ready


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "sub" / "made").write_text("shor"),
        lambda folder: (folder / "sub" / "made").write_text(""),
        lambda folder: (folder / "sub" / "made").unlink(),
        lambda folder: (folder / "link").unlink() or (folder / "link").symlink_to("nowhere"),
        lambda folder: (folder / ".contents.json").write_text(""),
        lambda folder: (folder / ".contents.json").write_text("[1]"),
        lambda folder: (folder / ".contents.json").write_bytes(b"\xff"),
        lambda folder: shutil.rmtree(folder) or folder.write_text(""),
    ],
)
def test_a_damaged_build_is_made_again(tmp_path, damage):
    store = Store("kind", tmp_path / "cache")
    outside = tmp_path / "outside"
    outside.write_text("there")

    def build():
        with store.building("key") as (folder, ready):
            if not ready:
                (folder / "sub").mkdir()
                (folder / "sub" / "made").write_text("whole")
                (folder / "link").symlink_to(outside)
            return ready, (folder / "sub" / "made").read_text(), (folder / "link").read_text()

    assert [build()[0] for _ in range(2)] == [False, True]
    (store.folder / "key" / "note").write_text("files beside those that were built do not matter")
    assert build()[0]
    damage(store.folder / "key")
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        assert build() == (False, "whole", "there") and build() == (True, "whole", "there")
    assert len(told(record)) <= 1


def test_without_a_home_the_cache_is_a_temporary_one(monkeypatch):
    for name in ("SLIPSTICK_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", fail(RuntimeError("Could not determine home directory.")))
    with pytest.warns(Notice, match="no home folder"):
        root = cache_root()
    assert root.is_dir() and cache_root() == root


def test_tools_find_a_cache_that_can_be_written(unwritable, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(unwritable))
    with caches_of_tools():
        with tempfile.TemporaryFile(dir=os.environ["XDG_CACHE_HOME"]) as file:
            file.write(b"kept")
        assert not Path(os.environ["XDG_CACHE_HOME"]).is_relative_to(unwritable)
    assert os.environ["XDG_CACHE_HOME"] == str(unwritable)


def test_tools_keep_the_users_cache_where_it_can_be_written(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with caches_of_tools():
        assert os.environ["XDG_CACHE_HOME"] == str(tmp_path)


def _write(root, value):
    store = Store("kind", root)
    for key in range(20):
        store.put(str(key), [value] * 1000)


def test_writers_at_the_same_time_leave_whole_entries(tmp_path):
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write, args=(tmp_path, value)) for value in range(3)]
    for one in writers:
        one.start()
    for one in writers:
        one.join()
        assert one.exitcode == 0
    store = Store("kind", tmp_path)
    for key in range(20):
        found = store.get(str(key))
        assert len(found) == 1000 and len(set(found)) == 1
    assert len(list(store.folder.iterdir())) == 20


def figures():
    liberty = load_liberty(DEFAULT_LIBERTY)
    mapped = synthesise(ADDER, "top", liberty, clock_ps=10_000)
    vectors = random_vectors(MappedNetlist.build(mapped, liberty), 64, seed=0)
    return measure_power(mapped, liberty, vectors, clock_mhz=100)


@pytest.mark.parametrize("length", [0, 1, 100, -20])
def test_figures_are_the_same_whatever_befell_the_caches_on_the_way(tmp_path, monkeypatch, length):
    monkeypatch.setenv("SLIPSTICK_CACHE", str(tmp_path))
    expected = figures()
    entries = sorted(tmp_path.rglob("*.json"))
    assert {one.parent.name for one in entries} == {"liberty", "synth", "power"}
    for entry in entries:
        os.truncate(entry, length if length >= 0 else entry.stat().st_size + length)
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        assert figures() == expected == figures()
    assert len(told(record)) == 3  # one a kind


def test_figures_are_the_same_without_a_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SLIPSTICK_CACHE", str(tmp_path / "cache"))
    expected = figures()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SLIPSTICK_CACHE", str(tmp_path / "file"))
    with pytest.warns(Notice, match="cannot write"):
        assert figures() == expected


def test_what_a_user_asked_to_write_still_fails(unwritable):
    with pytest.raises(UserError, match="cannot write"):
        write_text(unwritable / "report.html", "text")


def test_a_lock_that_is_held_is_told_and_not_waited_for(tmp_path):
    with locked(tmp_path / "lock"), pytest.raises(BlockingIOError), locked(tmp_path / "lock", wait=False):
        pass
    with locked(tmp_path / "lock", wait=False):
        pass
