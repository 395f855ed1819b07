"""Files for ``harness/player.v``: beats in, answers out, in parts that fit its memories."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slipstick.rtl.spec.array import ArrayConfig
from slipstick.rtl.spec.schedule import Beats, Schedule, data_bytes

WORDS = 1 << 16
SOURCE = Path(__file__).parent / "harness" / "player.v"


@dataclass(frozen=True)
class Answers:
    """Answer beats: ``lanes`` int32 [n, C], ``cycle`` int64 [n] when each was taken, ``last`` bool [n]."""

    lanes: np.ndarray
    cycle: np.ndarray
    last: np.ndarray

    def __getitem__(self, part: slice) -> "Answers":
        return Answers(self.lanes[part], self.cycle[part], self.last[part])


def parameters(config: ArrayConfig) -> dict[str, int]:
    """Verilog parameters of the player around an accelerator of this array."""
    return {"DATA_BYTES": data_bytes(config), "COLUMNS": config.columns, "WORDS": WORDS}


def parts(schedules: list[Schedule]) -> Iterator[tuple[Beats, int]]:
    """The beats of all schedules in parts that fit the player, each with its number of answers."""
    beats = join([schedule.beats for schedule in schedules])
    answers = np.concatenate([schedule.answers_of_beats for schedule in schedules])
    first = 0
    while first < len(beats):
        counts = np.cumsum(answers[first : first + WORDS])
        size = int(np.searchsorted(counts, WORDS, side="right"))
        yield beats[first : first + size], int(counts[size - 1])
        first += size


def join(beats: list[Beats]) -> Beats:
    """One stream after the other."""
    return Beats(*(np.concatenate([getattr(some, name) for some in beats]) for name in ("data", "kind", "last")))


def write_beats(path: Path, beats: Beats) -> None:
    """One word a line in hexadecimal, highest byte first."""
    head = (beats.last.astype(np.uint8) << 3) | beats.kind
    words = np.concatenate([head[:, None], beats.data[:, ::-1]], axis=1)
    path.write_text(words.tobytes().hex("\n", words.shape[1]) + "\n")


def read_answers(path: Path, count: int, columns: int) -> Answers:
    """The first ``count`` words that the player recorded."""
    size = 5 + 4 * columns
    data = np.frombuffer(bytes.fromhex(path.read_text()), np.uint8)[: count * size].reshape(count, size)[:, ::-1]
    lanes = np.ascontiguousarray(data[:, : 4 * columns]).view("<i4")
    cycle = np.ascontiguousarray(data[:, 4 * columns : 4 * columns + 4]).view("<u4")[:, 0]
    return Answers(lanes, cycle.astype(np.int64), data[:, -1] != 0)


def write_stream(path: Path, beats: Beats) -> None:
    """One beat a line for Python to drive: tag (tlast, tuser) and tdata as two hexadecimal numbers."""
    tags = (beats.last.astype(np.uint8) << 3) | beats.kind
    words = beats.data[:, ::-1].tobytes().hex("\n", beats.data.shape[1]).split("\n")
    path.write_text("\n".join(f"{tag:x} {word}" for tag, word in zip(tags.tolist(), words, strict=True)))


def read_stream(path: Path, columns: int) -> Answers:
    """What Python sampled: tlast, cycle and tdata of one answer a line, as hexadecimal numbers."""
    rows = [[int(word, 16) for word in line.split()] for line in path.read_text().splitlines()]
    lanes = b"".join(data.to_bytes(4 * columns, "little") for _, _, data in rows)
    numbers = np.array([row[:2] for row in rows], np.int64).reshape(-1, 2)
    return Answers(np.frombuffer(lanes, "<i4").reshape(-1, columns), numbers[:, 1], numbers[:, 0] != 0)
