"""The study's file: kills, cut tails, full disks, two searches at once."""

import errno
import json
import subprocess
import sys
import warnings
from pathlib import Path

import optuna
import pytest

from slipstick.errors import Notice, UserError
from slipstick.flow.search.journal import open_journal
from slipstick.flow.search.study import search

from .test_study import synthetic

TRIALS = 4


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("journal") / "study.journal"
    with open_journal(path) as storage:
        search(synthetic(3), trials=TRIALS, storage=storage)
    return path.read_bytes()


def test_cut_at_every_byte_of_its_last_records_a_journal_keeps_all_others(journal: bytes, tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    lines = journal.splitlines(keepends=True)
    for size in range(len(journal) - len(b"".join(lines[-2:])), len(journal)):
        path.write_bytes(journal[:size])
        with warnings.catch_warnings(record=True) as told, open_journal(path):
            kept = path.read_bytes()
        said = [str(one.message) for one in told]
        whole = journal[: size + 1].count(b"\n") if journal[size : size + 1] == b"\n" else journal[:size].count(b"\n")
        assert kept == b"".join(lines[:whole])
        cut = not journal[:size].endswith(b"\n") and whole == journal[:size].count(b"\n")
        assert len(said) == cut
        assert not cut or f"record {whole + 1} was cut short and is lost; {whole} are kept" in said[0]


def test_a_search_goes_on_after_its_journal_was_cut(journal: bytes, tmp_path: Path) -> None:
    path, calls = tmp_path / "study.journal", []
    path.write_bytes(journal[:-20])
    with pytest.warns(Notice, match="was cut short and is lost"), open_journal(path) as storage:
        result = search(synthetic(3, calls=calls), trials=TRIALS, storage=storage)
    assert len(result.points) == TRIALS and len(calls) == 1
    assert [json.loads(line) for line in path.read_bytes().splitlines()]


def test_records_after_a_damaged_one_are_put_aside(journal: bytes, tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    lines = journal.splitlines(keepends=True)
    damaged = b"".join([*lines[:-3], b"\0" * 40 + b"\n", *lines[-2:]])
    path.write_bytes(damaged)
    with warnings.catch_warnings(record=True) as told, open_journal(path) as storage:
        assert len(search(synthetic(3), trials=TRIALS, storage=storage).points) == TRIALS
    assert (tmp_path / "study.journal.lost").read_bytes() == damaged[len(b"".join(lines[:-3])) :]
    assert f"damaged at record {len(lines) - 2}; that one and 2 after it are lost" in str(told[0].message)


def test_a_file_of_something_else_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    path.write_text('{"name": "not a study"}\n')
    with pytest.raises(UserError, match="not the journal of a study"), open_journal(path):
        pass
    assert path.read_text() == '{"name": "not a study"}\n'


@pytest.mark.parametrize("written", [0, 17])
def test_a_full_disk_is_one_line_and_loses_nothing(written: int, tmp_path: Path, monkeypatch) -> None:
    path, calls = tmp_path / "study.journal", []
    append = optuna.storages.journal.JournalFileBackend.append_logs

    def full(self, logs) -> None:
        if len(calls) == 3:  # in the third trial the disk takes some bytes, then no more
            with path.open("ab") as file:
                file.write(json.dumps(logs[0]).encode()[:written])
            raise OSError(errno.ENOSPC, "No space left on device")
        append(self, logs)

    with monkeypatch.context() as patched:
        patched.setattr(optuna.storages.journal.JournalFileBackend, "append_logs", full)
        with pytest.raises(UserError, match="cannot write .*No space left") as told, open_journal(path) as storage:
            search(synthetic(calls=calls), trials=6, storage=storage)
    assert "\n" not in str(told.value) and len(calls) == 3
    with warnings.catch_warnings(record=True) as told, open_journal(path) as storage:
        assert len(search(synthetic(calls=calls), trials=6, storage=storage).points) == 6
    assert len(told) == bool(written) and len(calls) == 3 + 4  # two had ended and stay


def test_a_second_search_on_one_journal_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    code = (
        "import sys; from pathlib import Path; from slipstick.flow.search.journal import open_journal\n"
        "with open_journal(Path(sys.argv[1])): pass"
    )
    with open_journal(path):
        second = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert second.returncode != 0 and "another search is running on it" in second.stderr
    with open_journal(path):
        pass


def test_a_lock_left_by_a_killed_writer_does_not_hold_anyone_up(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    (tmp_path / "study.journal.lock").symlink_to(path)
    with open_journal(path) as storage:
        assert len(search(synthetic(3), trials=2, storage=storage).points) == 2
