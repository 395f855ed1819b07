"""The converted model, its images and what they made it do: the start of every job of the flow."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slipstick.errors import UserError
from slipstick.model.convert import ConversionReport, approximate_
from slipstick.model.data import Images, read_folder, shipped
from slipstick.model.evaluate import correct, input_batches
from slipstick.model.integer.config import IntegerConfig
from slipstick.model.layers.config import QuantConfig
from slipstick.model.workload import LayerShape, Recording, record, tile_streams, workload
from slipstick.model.zoo import LoadedModel, check_shipped
from slipstick.rtl.spec.streams import TileStream
from slipstick.store import digest

CALIBRATION_IMAGES = 256
FEWEST_IMAGES = 4  # of a user's folder: one for each purpose
RECORDED_IMAGES = 16
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ImageSets:
    """Images for one purpose each, none of them in two: what is chosen on some is confirmed and tested on others."""

    calibration: Images
    search: Images
    validation: Images
    test: Images


@dataclass
class Workbench:
    """A calibrated model at hand: all layers exact int8 until somebody assigns cells.

    ``right`` tells of every test image whether ``fp32`` and ``int8`` have it right: bool [N] each, unless
    nobody asked; ``recordings`` hold every product of a few calibration images.
    """

    loaded: LoadedModel
    report: ConversionReport
    images: ImageSets
    right: dict[str, np.ndarray]
    shapes: dict[str, LayerShape]
    recordings: dict[str, Recording]
    model_sha256: str

    def streams(self, rows: int, columns: int, seed: int, count: int = 3) -> dict[str, list[TileStream]]:
        """``count`` recorded weight tiles of every layer for an array of R x C."""
        rng = np.random.default_rng(seed)
        return {
            name: tile_streams(recording, rows=rows, columns=columns, count=count, rng=rng)
            for name, recording in self.recordings.items()
        }

    def macs(self, rows: int, columns: int) -> dict[str, int]:
        """MACs of one image by layer, those that only pad a tile of R x C included."""
        return {
            name: shape.rows * shape.repeats * -(-shape.depth // rows) * rows * -(-shape.channels // columns) * columns
            for name, shape in self.shapes.items()
        }

    def outputs(self) -> dict[str, int]:
        """Requantised outputs of one image by layer."""
        return {name: shape.rows * shape.repeats * shape.channels for name, shape in self.shapes.items()}


def load_images(
    calibration: Path | None, images: Path | None, loaded: LoadedModel, test_images: int | None = None
) -> ImageSets:
    """The shipped images, or a user's folders of class folders; only ``test_images`` of those that test.

    From ``images`` every other picture tests; of the rest every other one validates, and the others serve the
    search. Without a ``calibration`` folder some of these calibrate too: neither needs what the other does not see.
    Raises UserError when the shipped images are not for this model, and for too few images.
    """
    size, classes = loaded.size, loaded.classes()
    if images is None:
        check_shipped(loaded)
        own = shipped("calibration") if calibration is None else read_folder(calibration, size)
        return ImageSets(own, shipped("search"), shipped("validation"), _some(shipped("test"), test_images))
    every = read_folder(images, size, classes)
    if len(every) < FEWEST_IMAGES:
        raise UserError(f"{images}: {len(every)} images; at least {FEWEST_IMAGES} are needed, to choose on some "
                        "and test on others")  # fmt: skip
    chosen, test = every[::2], every[1::2]
    search, validation = chosen[::2], chosen[1::2]
    own = search if calibration is None else read_folder(calibration, size)
    return ImageSets(own.balanced(CALIBRATION_IMAGES), search, validation, _some(test, test_images))


def _some(test: Images, count: int | None) -> Images:
    if count is not None and count > len(test):
        raise UserError(f"--test-images {count}: there are only {len(test)} test images")
    return test if count is None else test.balanced(count)


def weights_digest(loaded: LoadedModel) -> str:
    """SHA-256 of a model's parameters and buffers with their names."""
    state = {name: value.cpu().numpy() for name, value in loaded.module.state_dict().items()}
    return digest(*(part for name in sorted(state) for part in (name, state[name])))


def open_workbench(
    *,
    loaded: LoadedModel,
    images: ImageSets,
    judge_test: bool = True,
    quantisation: QuantConfig | None = None,
    seed: int = 0,
    integer: IntegerConfig | None = None,
    progress: Callable[[str], Progress] = lambda title: lambda done, total: None,
) -> Workbench:
    """Measure in float, convert, calibrate, measure in int8, and record operands.

    With ``integer`` the model has no float left, and ``int8`` is what it has right. Without ``judge_test`` the test
    images stay unseen.
    ``progress(title)`` opens a bar and returns its ``update(done, total)``.
    """
    right = {"fp32": correct(loaded, images.test, progress=progress("float top-1"))} if judge_test else {}
    batches = input_batches(loaded, images.calibration)
    identity = weights_digest(loaded)
    step = progress("calibration")
    report = approximate_(loaded.module, {}, batches, quantisation, seed, integer=integer or False)
    step(1, 1)
    if judge_test:
        right["int8"] = correct(loaded, images.test, progress=progress("int8 top-1"))
    recordings = record(loaded.module, batches[0][:RECORDED_IMAGES])
    return Workbench(loaded, report, images, right, workload(loaded.module), recordings, identity)
