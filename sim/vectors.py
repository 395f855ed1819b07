"""Test vectors: one matrix product of one layer on real data, with what the emulation computed."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slipstick.arrays import read_npz
from slipstick.errors import UserError
from slipstick.files import write_whole
from slipstick.rtl.spec.fixed import Requant

_REQUANT = ("zero", "low", "high")


@dataclass(frozen=True)
class GemmJob:
    """``accumulators`` = activations @ weights + bias in the cells of ``columns``, then requantised.

    ``activations`` int8 [M, K], ``weights`` int8 [K, N], ``bias`` int32 [N], ``requant`` with N channels,
    ``columns`` the array columns this layer may use: channel n uses ``columns[n % len(columns)]``.
    Expected: ``accumulators`` int32 [M, N], bias included, and ``outputs`` int8 [M, N].
    Raises UserError when the shapes or types disagree.
    """

    layer: str
    activations: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    requant: Requant
    columns: tuple[int, ...]
    accumulators: np.ndarray
    outputs: np.ndarray

    def __post_init__(self) -> None:
        (m, k), n = self.activations.shape, self.weights.shape[1]
        wanted = {
            "activations": (np.int8, (m, k)), "weights": (np.int8, (k, n)), "bias": (np.int32, (n,)),
            "accumulators": (np.int32, (m, n)), "outputs": (np.int8, (m, n)),
        }  # fmt: skip
        for name, (kind, shape) in wanted.items():
            array = getattr(self, name)
            if array.dtype != kind or array.shape != shape:
                raise UserError(
                    f"{self.layer}: {name} is {array.dtype} {list(array.shape)}, not {kind.__name__} {list(shape)}"
                )
        if not (self.requant.multiplier.shape == self.requant.shift.shape == (n,)):
            raise UserError(f"{self.layer}: the requantiser has {self.requant.multiplier.shape} channels, not {n}")
        if not self.columns or 0 in (m, k, n):
            raise UserError(f"{self.layer}: nothing to compute: {m} x {k} @ {k} x {n} on columns {self.columns}")

    def save(self, path: Path) -> None:
        """Write one .npz file, without pickles."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        arrays |= {"multiplier": self.requant.multiplier, "shift": self.requant.shift}
        limits = np.array([getattr(self.requant, name) for name in _REQUANT], np.int64)
        head = {"layer": np.array(self.layer), "columns": np.array(self.columns, np.int64), "limits": limits}

        def write(temporary: Path) -> None:
            with temporary.open("wb") as file:
                np.savez(file, allow_pickle=False, **(head | arrays))

        write_whole(path, write)

    @classmethod
    def load(cls, path: Path) -> "GemmJob":
        """Read what ``save`` wrote; UserError when the file is not that."""
        file = read_npz(path, "a saved job", (*_HEAD, *_ARRAYS))
        try:
            limits = dict(zip(_REQUANT, map(int, file["limits"]), strict=True))
            return cls(
                layer=str(file["layer"]),
                columns=tuple(map(int, file["columns"])),
                requant=Requant(file["multiplier"], file["shift"], **limits),
                **{name: file[name] for name in _ARRAYS},
            )
        except (ValueError, TypeError) as error:
            raise UserError(f"{path}: not a saved job ({error})") from error


_HEAD = ("layer", "columns", "limits", "multiplier", "shift")
_ARRAYS = ("activations", "weights", "bias", "accumulators", "outputs")
