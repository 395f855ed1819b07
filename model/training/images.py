"""Images to finetune with: the training split of a JPEG pack, or a user's folder of class folders."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slipstick.arrays import read_npz
from slipstick.errors import UserError
from slipstick.store import digest

from ..classes import Classes
from ..data import PACK, Images, read_folder, read_pack
from ..zoo import LoadedModel

HELD_OUT = 1000  # the last images of a pack's training split: validation, never trained on
CALIBRATING = 256


@dataclass(frozen=True)
class TrainingImages:
    """Images to train on, images held out to judge it, and training images to calibrate with."""

    train: Images
    validation: Images
    calibration: Images


def training_images(
    source: Path, size: int, limit: int | None = None, classes: Classes | None = None
) -> TrainingImages:
    """Read at most ``limit`` training images; ``size`` is the side of the model's square input.

    ``classes`` says which outputs of the model the folders of a folder are.

    Of a pack, the last HELD_OUT images of its ``train_`` split are held out; of a folder, a tenth,
    after a shuffle that is always the same. Raises UserError for too few images or another size.
    """
    if limit is not None and limit < 1:
        raise UserError(f"{limit} images cannot train anything; give at least one, or no limit")
    if source.is_dir():
        every = read_folder(source, size, classes)
        every = every[np.random.default_rng(0).permutation(len(every))]
        held = max(1, len(every) // 10)
        train, validation = every[:-held][:limit], every[-held:]
    else:
        validation = read_pack(source, "train_", slice(-HELD_OUT, None))
        train = read_pack(source, "train_", _training_part(source, limit))
        if train.pixels.shape[1:3] != (size, size):
            raise UserError(f"{source}: images of {train.pixels.shape[1]} x {train.pixels.shape[2]}, the model takes "
                            f"{size} x {size}; give a folder of images, which are resized")  # fmt: skip
    if not len(train):
        raise UserError(f"{source}: one image is too few; one part is held out for validation")
    return TrainingImages(train, validation, train[:CALIBRATING])


def fingerprints(loaded: LoadedModel, images: TrainingImages) -> dict[str, str]:
    """Hashes of the weights and of every part of the images, by name."""
    state = loaded.module.state_dict()
    found = {"weights_sha256": digest(*(p for name in sorted(state) for p in (name, state[name].cpu().numpy())))}
    for name in ("train", "validation", "calibration"):
        some: Images = getattr(images, name)
        found[f"{name}_images_sha256"] = digest(some.pixels, some.labels)
    return found


def _training_part(pack: Path, limit: int | None) -> slice:
    count = len(read_npz(pack, PACK, ["train_label"])["train_label"]) - HELD_OUT
    if count < 1:
        raise UserError(f"{pack}: {count + HELD_OUT} training images are too few; the last {HELD_OUT} are held out")
    return slice(0, count if limit is None else min(limit, count))
