"""The converted model, its images and what they made it do: the start of every job of the flow."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slipstick.model.convert import ConversionReport, approximate_
from slipstick.model.data import Images, read_folder, shipped
from slipstick.model.evaluate import input_batches, top1
from slipstick.model.integer.config import IntegerConfig
from slipstick.model.layers.quantise import QuantConfig
from slipstick.model.workload import LayerShape, Recording, record, tile_streams, workload
from slipstick.model.zoo import LoadedModel, check_shipped, load_model
from slipstick.rtl.spec.streams import TileStream
from slipstick.store import digest

CALIBRATION_IMAGES = 256
RECORDED_IMAGES = 16
Progress = Callable[[int, int], None]


@dataclass
class Workbench:
    """A calibrated model at hand: all layers exact int8 until somebody assigns cells.

    ``fp32`` and ``int8`` are top-1 on the test images as fractions; ``recordings`` hold every product
    of a few calibration images.
    """

    loaded: LoadedModel
    report: ConversionReport
    validation: Images
    test: Images
    fp32: float
    int8: float
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


def load_images(calibration: Path | None, images: Path | None, loaded: LoadedModel) -> tuple[Images, Images, Images]:
    """Calibration, validation and test images: the shipped ones, or a user's folders of class folders.

    From ``images`` every other picture validates and the rest test; without a ``calibration`` folder
    validation pictures calibrate, spread over all of them: folders come class by class. Raises UserError when the
    shipped images are not for this model.
    """
    size, classes = loaded.size, loaded.classes()
    if images is None:
        check_shipped(loaded)
        own = shipped("calibration") if calibration is None else read_folder(calibration, size)
        return own, shipped("validation"), shipped("test")
    every = read_folder(images, size, classes)
    validation, test = every[::2], every[1::2]
    own = validation if calibration is None else read_folder(calibration, size)
    return own[:: -(-len(own) // CALIBRATION_IMAGES)], validation, test


def open_workbench(
    *,
    model: str | LoadedModel,
    weights: str | Path | None = None,
    calibration: Path | None = None,
    images: Path | None = None,
    quantisation: QuantConfig | None = None,
    seed: int = 0,
    integer: IntegerConfig | None = None,
    progress: Callable[[str], Progress] = lambda title: lambda done, total: None,
) -> Workbench:
    """Load, measure in float, convert, calibrate, measure in int8, and record operands.

    With ``integer`` the model has no float left, and ``int8`` is its top-1.
    ``progress(title)`` opens a bar and returns its ``update(done, total)``.
    """
    loaded = load_model(model, weights) if isinstance(model, str) else model
    calibrating, validation, test = load_images(calibration, images, loaded)
    fp32 = top1(loaded, test, progress=progress("float top-1"))
    batches = input_batches(loaded, calibrating)
    state = {name: value.cpu().numpy() for name, value in loaded.module.state_dict().items()}
    identity = digest(*(part for name in sorted(state) for part in (name, state[name])))
    step = progress("calibration")
    report = approximate_(loaded.module, {}, batches, quantisation, seed, integer=integer or False)
    step(1, 1)
    int8 = top1(loaded, test, progress=progress("int8 top-1"))
    recordings = record(loaded.module, batches[0][:RECORDED_IMAGES])
    return Workbench(loaded, report, validation, test, fp32, int8, workload(loaded.module), recordings, identity)
