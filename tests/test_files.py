"""What is written is whole and goes where it was asked to; what is read and is no JSON or no arrays is named."""

import io
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstick.arrays import read_npz
from slipstick.errors import UserError
from slipstick.files import check_writable, parse_json, read_json, write_text


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    """So is a device, such as /dev/null or /dev/stdout."""
    pipe, found = tmp_path / "pipe", []
    os.mkfifo(pipe)
    check_writable(pipe)
    reader = threading.Thread(target=lambda: found.append(pipe.read_text()), daemon=True)
    reader.start()
    write_text(pipe, "é\n" * 5)
    reader.join(60)
    assert found == ["é\n" * 5] and pipe.is_fifo() and list(tmp_path.iterdir()) == [pipe]


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path: Path, there: bool) -> None:
    target, link = tmp_path / "own" / "target", tmp_path / "link"
    target.parent.mkdir()
    link.symlink_to(target)
    if there:
        target.write_text("before")
    check_writable(link)
    write_text(link, "after")
    assert link.is_symlink() and target.read_text() == "after" and list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("make", [
    lambda folder: folder,
    lambda folder: folder / ("x" * 5000),
    lambda folder: (folder / "loop", (folder / "loop").symlink_to(folder / "loop"))[0],
    lambda folder: (folder / "file" / "x", (folder / "file").write_text(""))[0],
])  # fmt: skip
def test_what_cannot_be_written_is_named_before_and_while(tmp_path: Path, make) -> None:
    path = make(tmp_path)
    for write in (check_writable, lambda one: write_text(one, "text")):
        with pytest.raises(UserError, match="cannot write "):
            write(path)


@given(st.one_of(st.binary(max_size=40), st.sampled_from([b"9" * 5000, b"[" * 100_000, b"\xff\xfe", b"", b"NaN x"])))
def test_json_is_read_or_refused_by_name(data: bytes) -> None:
    try:
        parse_json(data, "--option")
    except UserError as error:
        assert str(error).startswith("--option: not JSON")


def test_json_of_no_file_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.json", tmp_path):
        with pytest.raises(UserError, match=f"cannot read {path}"):
            read_json(path)


def packed(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def single() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.arange(3))
    return stream.getvalue()


WHOLE = packed(a=np.arange(100), b=np.ones((2, 3)))


@given(st.one_of(
    st.binary(max_size=60), st.integers(0, len(WHOLE) - 1).map(lambda end: WHOLE[:end]), st.just(single()),
    st.just(packed(b=np.arange(3))), st.just(packed(a=np.array([{}], object))),
))  # fmt: skip
def test_files_without_the_arrays_are_refused_by_name(tmp_path_factory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "some.npz"
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"some\.npz: not a pack \(.+\)"):
        read_npz(path, "a pack", ["a"])


def test_arrays_come_back(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(WHOLE)
    found = read_npz(tmp_path / "x.npz", "a pack")
    assert found.keys() == {"a", "b"} and np.array_equal(found["a"], np.arange(100))
