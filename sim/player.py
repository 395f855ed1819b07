"""Files for ``harness/player.v`` and for Python's own driving: beats in, answers out."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slipstick.rtl.spec.array import ArrayConfig
from slipstick.rtl.spec.schedule import Beats, data_bytes

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
    return {"DATA_BYTES": data_bytes(config), "COLUMNS": config.columns}


def around(top: str) -> str:
    """Verilog of the player, with module ``top`` as its accelerator."""
    return SOURCE.read_text().replace("  accelerator accelerator (", f"  {top} accelerator (")


def join(beats: list[Beats]) -> Beats:
    """One stream after the other."""
    return Beats(*(np.concatenate([getattr(some, name) for some in beats]) for name in ("data", "kind", "last")))


def write_beats(path: Path, beats: Beats) -> None:
    """What the player reads: tag (tlast, tuser) and tdata, highest byte first."""
    tags = (beats.last.astype(np.uint8) << 3) | beats.kind
    np.concatenate([tags[:, None], beats.data[:, ::-1]], axis=1).tofile(path)


def read_answers(path: Path, columns: int) -> Answers:
    """What the player wrote: tdata, cycle and tlast as 32-bit words, lowest byte first."""
    words = np.fromfile(path, "<i4").reshape(-1, columns + 2)
    return Answers(words[:, :columns], words[:, columns].view("<u4").astype(np.int64), words[:, columns + 1] != 0)


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
