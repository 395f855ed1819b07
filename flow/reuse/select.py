"""Which encoders reuse attention: as few as a delay target asks for, in the pattern that trains best.

TReX (arXiv 2408.12742), section V-B: the least number by the cost model, every pattern of some families trained for
a while on a part of the images, the one of least loss trained in full.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from slipstick.errors import UserError
from slipstick.flow.job.manifest import manifest
from slipstick.limits import COUNT, Limits, check_fields
from slipstick.model.reuse.config import ReuseConfig
from slipstick.model.reuse.patterns import Named
from slipstick.model.training.config import FinetuneConfig
from slipstick.model.training.finetune import Finetuned
from slipstick.model.training.images import TrainingImages
from slipstick.model.training.reuse import finetune_reuse
from slipstick.model.zoo import LoadedModel

Report = Callable[[dict[str, float]], None]


@dataclass(frozen=True)
class SelectConfig:
    """``fraction`` of the images and ``partial_steps`` that judge a pattern; ``training`` of the chosen one.

    ``fit`` lets projections start in closed form.
    """

    limits: ClassVar[dict[str, Limits]] = {"fraction": Limits(0, 1, above=True), "partial_steps": COUNT}
    fraction: float = 0.2
    partial_steps: int = 60
    reuse: ReuseConfig = field(default_factory=ReuseConfig)
    fit: bool = True
    training: FinetuneConfig = field(default_factory=FinetuneConfig)

    def __post_init__(self) -> None:
        check_fields(self, self.limits, "reuse {}".format)


@dataclass(frozen=True)
class Judged:
    """A pattern and the mean loss over its last saved steps of partial training."""

    name: str
    blocks: tuple[int, ...]
    loss: float


def smallest_reuse(delay_ms: Callable[[int], float], encoders: int, target_ms: float) -> int:
    """The least number of reuse encoders whose delay is below the target; 0 when none is needed.

    Raises UserError for a target that not even all encoders but the first can meet.
    """
    if not math.isfinite(target_ms) or target_ms <= 0:
        raise UserError(f"a delay target of {target_ms:g} ms cannot be met; give a time above 0")
    for reuse in range(encoders):
        if delay_ms(reuse) < target_ms:
            return reuse
    fastest = min(range(encoders), key=delay_ms)
    raise UserError(
        f"a delay below {target_ms:g} ms is not possible: from {delay_ms(0):.4g} ms without reuse, {fastest} of "
        f"{encoders} encoders that reuse attention come to {delay_ms(fastest):.4g} ms; give a longer target"
    )


def judge(
    load: Callable[[], LoadedModel],
    patterns: Sequence[Named],
    images: TrainingImages,
    out: Path,
    config: SelectConfig,
    bar: Callable[[str], Report],
) -> list[Judged]:
    """Train every pattern for a while; best first. Goes on after the last saved state of a killed run.

    ``load`` gives the float model anew; ``bar(name)`` opens a progress bar.
    """
    count = max(config.training.batch, round(config.fraction * len(images.train)))
    part = replace(images, train=images.train[:count])
    short = replace(config.training, steps=config.partial_steps)
    found = []
    for one in patterns:
        path = out.with_name(f"{out.name}.partial") / "-".join(map(str, one.blocks))
        done = finetune_reuse(load(), one.blocks, part, path, short, config.reuse, bar(one.name), fit=config.fit)
        found.append(Judged(one.name, one.blocks, float(done.manifest["curve"][-1]["loss"])))
    return sorted(found, key=lambda one: one.loss)


def finish(
    loaded: LoadedModel,
    judged: Sequence[Judged],
    images: TrainingImages,
    out: Path,
    config: SelectConfig,
    report: Report,
) -> Finetuned:
    """Train the best pattern in full, in place; its manifest names all that were judged."""
    facts: dict[str, Any] = manifest(judged=[asdict(one) for one in judged])
    return finetune_reuse(
        loaded, judged[0].blocks, images, out, config.training, config.reuse, report, facts, config.fit
    )
