"""Images: the shipped CIFAR-10 JPEG packs, and a user's own folder of class folders.

A *JPEG pack* is an .npz of many JPEG files that share one header: ``header`` uint8 [H], ``scan``
uint8 [S], ``offset`` uint32 [N + 1], ``label`` uint8 [N] and ``classes`` str [C]. Header, scan part
and the end marker FF D9 give back each original file byte for byte.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from slipstick.errors import UserError

ASSETS = Path(__file__).resolve().parent / "assets"
END_OF_IMAGE = b"\xff\xd9"
SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}


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


def jpeg_files(path: Path, prefix: str = "") -> Iterator[bytes]:
    """Yield the original JPEG files of a pack, byte for byte, in stored order."""
    with np.load(path, allow_pickle=False) as pack:
        header, scan = pack["header"].tobytes(), pack[prefix + "scan"].tobytes()
        offset = pack[prefix + "offset"].tolist()
    for start, stop in pairwise(offset):
        yield header + scan[start:stop] + END_OF_IMAGE


def read_pack(path: Path, prefix: str = "", chosen: slice = slice(None)) -> Images:
    """Decode the ``chosen`` images of a JPEG pack; ``prefix`` picks a split of several ("train_", "test_").

    Raises UserError when the file is missing or not a pack.
    """
    try:
        with np.load(path, allow_pickle=False) as pack:
            labels, classes = pack[prefix + "label"].astype(np.int64)[chosen], tuple(map(str, pack["classes"]))
        files = [*jpeg_files(path, prefix)][chosen]
        pixels = np.stack([np.asarray(Image.open(io.BytesIO(file))) for file in files])
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"{path}: not a JPEG pack ({error})") from error
    return Images(pixels, labels, classes)


def read_folder(folder: Path, size: int) -> Images:
    """Decode ``folder/<class>/<image>``, resized on the short side and centre-cropped to ``size``.

    Class folders are numbered in alphabetical order, unless every name is a number. Raises UserError
    when the folder holds no image or one that cannot be read.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give a folder that holds one folder a class")
    names = [entry.name for entry in folder.iterdir() if entry.is_dir()]
    classes = sorted(names, key=int) if names and all(n.isdigit() for n in names) else sorted(names)
    pixels, labels = [], []
    for label, name in enumerate(classes):
        for file in sorted(p for p in (folder / name).iterdir() if p.suffix.lower() in SUFFIXES):
            try:
                image = Image.open(file).convert("RGB")
            except (OSError, UnidentifiedImageError) as error:
                raise UserError(f"{file}: not a readable image ({error})") from error
            scale = size / min(image.size)
            width, height = (max(size, round(side * scale)) for side in image.size)
            left, top = (width - size) // 2, (height - size) // 2
            image = image.resize((width, height), Image.Resampling.BICUBIC)
            pixels.append(np.asarray(image.crop((left, top, left + size, top + size))))
            labels.append(label)
    if not pixels:
        raise UserError(f"{folder}: no image found; expected {folder}/<class>/<image>.jpg or .png")
    return Images(np.stack(pixels), np.array(labels, np.int64), tuple(classes))


def shipped(split: str) -> Images:
    """Decode a shipped split of CIFAR-10 (JPEG q75 copy).

    ``calibration``: 256 training images; ``validation``: 1,000 training images that training never
    saw; ``test``: the first 1,000 of the test set.
    """
    return read_pack(ASSETS / f"cifar10_{split}.npz")


def write_subset(source: Path, prefix: str, chosen: slice, out: Path) -> None:
    """Write some images of a JPEG pack as a pack of their own, their bytes unchanged."""
    with np.load(source, allow_pickle=False) as pack:
        scan, offset = pack[prefix + "scan"], pack[prefix + "offset"].astype(np.int64)
        header, classes, labels = pack["header"], pack["classes"], pack[prefix + "label"][chosen]
    starts, stops = offset[:-1][chosen], offset[1:][chosen]
    parts = [scan[start:stop] for start, stop in zip(starts, stops, strict=True)]
    ends = np.concatenate([[0], np.cumsum(stops - starts)]).astype(np.uint32)
    np.savez(out, header=header, scan=np.concatenate(parts), offset=ends, label=labels, classes=classes)
