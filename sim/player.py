"""Files for ``harness/player.v`` and for Python's own driving: beats in, answers out."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slipstick.rtl.spec.beats import FIELDS, Beats
from slipstick.rtl.spec.machine import AcceleratorConfig

SOURCE = Path(__file__).parent / "harness" / "player.v"
USER_BYTES = -(-sum(FIELDS.values()) // 8)


@dataclass(frozen=True)
class Answers:
    """Answer beats: ``lanes`` int32 [n, C], ``cycle`` int64 [n] when each was taken, ``last`` bool [n].

    Cycle 0 takes the first beat.
    """

    lanes: np.ndarray
    cycle: np.ndarray
    last: np.ndarray

    def __len__(self) -> int:
        return len(self.cycle)

    def __getitem__(self, part: slice) -> "Answers":
        return Answers(self.lanes[part], self.cycle[part], self.last[part])


def parameters(config: AcceleratorConfig) -> dict[str, int]:
    """Verilog parameters of the player around an accelerator."""
    rows, columns = config.array.rows, config.array.columns
    return {"DATA_BYTES": rows + columns, "USER_BYTES": USER_BYTES, "COLUMNS": columns}


def around(top: str, name: str = "player") -> str:
    """Verilog of the player as module ``name``, with module ``top`` as its accelerator."""
    text = SOURCE.read_text().replace("module player ", f"module {name} ")
    return text.replace("  accelerator accelerator (", f"  {top} accelerator (")


def join(beats: list[Beats]) -> Beats:
    """One stream after the other."""
    names = ("activations", "weights", "fields")
    return Beats(*(np.concatenate([getattr(some, name) for some in beats]) for name in names))


def _bytes(beats: Beats) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """tlast, tuser and tdata of every beat, highest byte first: uint8 [B, 1], [B, USER_BYTES], [B, R + C]."""
    user = beats.user().astype(">u8").view(np.uint8).reshape(len(beats), 8)[:, 8 - USER_BYTES :]
    return beats.fields["end"].astype(np.uint8)[:, None], user, beats.data()[:, ::-1]


def write_beats(path: Path, beats: Beats) -> None:
    """What the player reads: tlast, tuser and tdata, highest byte first."""
    np.concatenate(_bytes(beats), axis=1).tofile(path)


def read_answers(path: Path, columns: int) -> Answers:
    """What the player wrote: tdata, cycle and tlast as 32-bit words, lowest byte first."""
    words = np.fromfile(path, "<i4").reshape(-1, columns + 2)
    return Answers(words[:, :columns], words[:, columns].view("<u4").astype(np.int64), words[:, columns + 1] != 0)


def write_stream(path: Path, beats: Beats) -> None:
    """One beat a line for Python to drive: tlast, tuser and tdata as hexadecimal numbers."""
    lines = zip(*(part.tobytes().hex("\n", part.shape[1]).split("\n") for part in _bytes(beats)), strict=True)
    path.write_text("\n".join(map(" ".join, lines)))


def read_stream(path: Path, columns: int) -> Answers:
    """What Python sampled: tlast, cycle and tdata of one answer a line, as hexadecimal numbers."""
    rows = [[int(word, 16) for word in line.split()] for line in path.read_text().splitlines()]
    lanes = b"".join(data.to_bytes(4 * columns, "little") for _, _, data in rows)
    numbers = np.array([row[:2] for row in rows], np.int64).reshape(-1, 2)
    return Answers(np.frombuffer(lanes, "<i4").reshape(-1, columns), numbers[:, 1], numbers[:, 0] != 0)
