"""Images: the shipped CIFAR-10 JPEG packs, and a user's own folder of class folders.

A *JPEG pack* is an .npz of many JPEG files that share one header: ``header`` uint8 [H], ``scan``
uint8 [S], ``offset`` uint32 [N + 1], ``label`` uint8 [N] and ``classes`` str [C]. Header, scan part
and the end marker FF D9 give back each original file byte for byte.
"""

import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from slipstick.arrays import read_npz
from slipstick.errors import Notice, UserError
from slipstick.store import digest

from .classes import Classes, is_class_folder, is_number
from .pictures import SUFFIXES, read_picture, square

ASSETS = Path(__file__).resolve().parent / "assets"
END_OF_IMAGE = b"\xff\xd9"
PACK = "a JPEG pack"


@dataclass(frozen=True)
class Images:
    """Decoded images: ``pixels`` uint8 [N, H, W, 3], ``labels`` int64 [N], class names."""

    pixels: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: slice | np.ndarray) -> "Images":
        return Images(self.pixels[index], self.labels[index], self.classes)

    def __add__(self, other: "Images") -> "Images":
        pixels, labels = (
            np.concatenate([getattr(own, part) for own in (self, other)]) for part in ("pixels", "labels")
        )
        return Images(pixels, labels, self.classes)

    def balanced(self, count: int) -> "Images":
        """``count`` of them, or all; of every class alike, spread over all: packs and folders come in some order.

        The same call always gives the same images, in their order here.
        """
        places, rng = np.empty(len(self), int), np.random.default_rng(0)
        for label in np.unique(self.labels):
            own = np.flatnonzero(self.labels == label)
            places[own] = rng.permutation(len(own))
        return self[np.sort(np.argsort(places, kind="stable")[:count])]

    @property
    def digest(self) -> str:
        """SHA-256 of pixels and labels."""
        return digest(self.pixels, self.labels)


def jpeg_files(path: Path, prefix: str = "") -> Iterator[bytes]:
    """Yield the original JPEG files of a pack, byte for byte, in stored order."""
    pack = read_npz(path, PACK, ("header", prefix + "scan", prefix + "offset"))
    header, scan = pack["header"].tobytes(), pack[prefix + "scan"].tobytes()
    offset = pack[prefix + "offset"].tolist()
    for start, stop in pairwise(offset):
        yield header + scan[start:stop] + END_OF_IMAGE


def read_pack(path: Path, prefix: str = "", chosen: slice = slice(None)) -> Images:
    """Decode the ``chosen`` images of a JPEG pack; ``prefix`` picks a split of several ("train_", "test_").

    Raises UserError when the file is missing or not a pack.
    """
    pack = read_npz(path, PACK, (prefix + "label", "classes"))
    try:
        labels, classes = pack[prefix + "label"].astype(np.int64)[chosen], tuple(map(str, pack["classes"]))
        files = [*jpeg_files(path, prefix)][chosen]
        pixels = np.stack([np.asarray(Image.open(io.BytesIO(file))) for file in files])
    except (OSError, ValueError, TypeError, IndexError) as error:
        raise UserError(f"{path}: not {PACK} ({error})") from error
    return Images(pixels, labels, classes)


def read_folder(folder: Path, size: int, classes: Classes | None = None) -> Images:
    """Decode ``folder/<class>/<image>``, resized on the short side and centre-cropped to ``size``.

    ``classes`` says which outputs of a model the folders stand for. Without it labels mean nothing but the order of
    the folders, by number or name, and the images may also lie in ``folder`` itself. Hidden files and folders, and
    those that tools leave, are passed over; of files of other kinds a ``Notice`` tells. Raises UserError when the
    folder holds no image or one that cannot be read, images beside class folders, and folders that stand for no
    output.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give a folder that holds one folder a class")
    names = [path.name for path in _listed(folder) if path.is_dir() and is_class_folder(path.name)]
    names.sort(key=(lambda name: (int(name), name)) if all(map(is_number, names)) else None)
    places = [(label, folder / name) for label, name in enumerate(names)]
    loose = _pictures(folder)
    if classes is None and not names:
        names, places = ["all"], [(0, folder)]
    elif loose:
        raise UserError(f"{loose[0]}: lies beside the class folders, in none of them; move it into one")
    files = [(label, file) for label, place in places for file in _pictures(place)]
    if not files:
        raise UserError(f"{folder}: no image found; expected {folder}/<class>/<image>.jpg or .png")
    if classes is not None:
        empty = set(range(len(names))) - {label for label, _ in files}
        if empty and not all(map(is_number, names)):
            raise UserError(f"{folder / names[min(empty)]}: no image found; such a class folder shifts others")
        numbers = classes.numbers(folder, names)
        files = [(numbers[label], file) for label, file in files]
    others = [path for _, place in places for path in _files(place) if path.suffix.lower() not in SUFFIXES]
    if others:
        warnings.warn(f"{folder}: {len(others)} files of other kinds are left out, such as {others[0]}; images end in "
                      f"{' '.join(sorted(SUFFIXES))}", Notice, stacklevel=2)  # fmt: skip
    pixels = np.stack([square(read_picture(file), size, file) for _, file in files])
    return Images(pixels, np.array([label for label, _ in files], np.int64), tuple(names))


def _pictures(folder: Path) -> list[Path]:
    """The image files right below a folder, in order."""
    return [path for path in _files(folder) if path.suffix.lower() in SUFFIXES]


def _files(folder: Path) -> list[Path]:
    """What is neither hidden nor a folder: links that lead nowhere too, which reading refuses by name."""
    return [path for path in _listed(folder) if is_class_folder(path.name) and not path.is_dir()]


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise UserError(f"{folder}: cannot be listed ({error.strerror})") from error


def shipped(split: str) -> Images:
    """Decode a shipped split of CIFAR-10 (JPEG q75 copy).

    ``calibration``: 256 training images; ``search``: 1,000 other training images; ``validation``: 1,000
    training images that training never saw, all that there are; ``test``: the 10,000 of the test set.
    """
    return read_pack(ASSETS / f"cifar10_{split}.npz")


def shipped_classes() -> tuple[str, ...]:
    """The names of CIFAR-10's classes, in order."""
    with np.load(ASSETS / "cifar10_validation.npz", allow_pickle=False) as pack:
        return tuple(map(str, pack["classes"]))


def write_subset(source: Path, prefix: str, chosen: slice, out: Path) -> None:
    """Write some images of a JPEG pack as a pack of their own, their bytes unchanged."""
    with np.load(source, allow_pickle=False) as pack:
        scan, offset = pack[prefix + "scan"], pack[prefix + "offset"].astype(np.int64)
        header, classes, labels = pack["header"], pack["classes"], pack[prefix + "label"][chosen]
    starts, stops = offset[:-1][chosen], offset[1:][chosen]
    parts = [scan[start:stop] for start, stop in zip(starts, stops, strict=True)]
    ends = np.concatenate([[0], np.cumsum(stops - starts)]).astype(np.uint32)
    np.savez(out, header=header, scan=np.concatenate(parts), offset=ends, label=labels, classes=classes)
