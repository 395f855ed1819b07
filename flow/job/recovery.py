"""What finetuning gives back on cells that break a model, with every gradient."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from slipstick.model.convert import approximate_, grid_of
from slipstick.model.data import shipped
from slipstick.model.evaluate import input_batches, top1
from slipstick.model.layers.config import QuantConfig
from slipstick.model.layers.slopes import KINDS
from slipstick.model.training.config import FinetuneConfig
from slipstick.model.training.finetune import finetune
from slipstick.model.training.images import TrainingImages
from slipstick.model.zoo import LoadedModel, load_model

from .console import Steps, Update
from .manifest import manifest

CELLS = (
    "broken_array8s_h2_v8", "broken_array8s_h3_v8", "truncated8s_k9", "broken_array8s_h4_v8", "truncated8s_k10",
)  # fmt: skip
VALIDATION = 200  # images that each run's manifest is judged by; the table is about the test images


@dataclass(frozen=True)
class Recovery:
    """Top-1 on the shipped test images: in float, in exact int8, and on every cell in all layers.

    ``before`` by cell; ``after`` by cell and gradient; ``seconds`` of CPU that all steps took.
    """

    float32: float
    int8: float
    before: dict[str, float]
    after: dict[str, dict[str, float]]
    seconds: dict[str, dict[str, float]]
    config: dict[str, Any]
    images: int
    provenance: dict[str, Any]


def recover(
    cells: Sequence[str],
    images: TrainingImages,
    config: FinetuneConfig,
    folder: Path,
    progress: Steps,
    quantisation: QuantConfig | None = None,
) -> Recovery:
    """Finetune the shipped network with every gradient on every cell, in ``folder``; resumable run by run.

    Raises UserError for a name that is no signed 8 x 8 cell.
    """
    for name in cells:
        grid_of(name)
    images, test = replace(images, validation=images.validation[:VALIDATION]), shipped("test")
    float_model, int8 = load_model(), _converted("exact8s", images, config, quantisation)
    result = Recovery(
        top1(float_model, test), top1(int8, test), {}, {}, {}, asdict(config), len(images.train), manifest()
    )
    for name in cells:
        with progress.step(name):
            result.before[name] = top1(_converted(name, images, config, quantisation), test)
            progress.note(f"{name} before: {100 * result.before[name]:.1f} %")
            result.after[name], result.seconds[name] = {}, {}
            for kind in KINDS:
                loaded = load_model()
                own = replace(config, gradient=replace(config.gradient, kind=kind))
                done = finetune(
                    loaded, {"default": name}, images, folder / f"{name}-{kind}", own,
                    _into(progress.bar(kind), config.steps), manifest(), quantisation=quantisation,
                )  # fmt: skip
                result.after[name][kind] = top1(loaded, test)
                result.seconds[name][kind] = sum(record["cpu_s"] for record in done.manifest["curve"])
                progress.note(f"{name} after {kind}: {100 * result.after[name][kind]:.1f} %")
    return result


def _into(bar: Update, total: int) -> Callable[[dict[str, float]], None]:
    return lambda record: bar(int(record["step"]), total)


def _converted(
    name: str, images: TrainingImages, config: FinetuneConfig, quantisation: QuantConfig | None
) -> LoadedModel:
    loaded = load_model()
    batches = input_batches(loaded, images.calibration)
    approximate_(loaded.module, {"default": name}, batches, quantisation, config.seed)
    return loaded
