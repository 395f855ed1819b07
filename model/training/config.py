"""What decides the result of finetuning."""

from dataclasses import dataclass, field
from typing import ClassVar

from slipstick.limits import COUNT, NOT_NEGATIVE, PART, POSITIVE, SEED, SHARE, Limits, check_fields

from ..layers.slopes import GradientConfig


@dataclass(frozen=True)
class FinetuneConfig:
    """Everything but model, cells and images that decides the result of finetuning.

    ``distillation`` is the weight of the teacher's loss, the labels have the rest; ``features`` that of the distance
    between encoders' and the teacher's outputs, on top; ``average`` the decay of the weights' moving average;
    ``every`` how many steps lie between saved states.
    """

    limits: ClassVar[dict[str, Limits]] = {
        "steps": COUNT, "batch": COUNT, "rate": POSITIVE, "weight_decay": NOT_NEGATIVE, "warmup": PART,
        "smoothing": PART, "distillation": SHARE, "temperature": POSITIVE, "features": NOT_NEGATIVE, "average": PART,
        "clip_norm": POSITIVE, "every": COUNT, "seed": SEED,
    }  # fmt: skip
    steps: int = 300
    batch: int = 64
    rate: float = 5e-4
    weight_decay: float = 0.01
    warmup: float = 0.1
    smoothing: float = 0.1
    distillation: float = 0.5
    temperature: float = 2.0
    features: float = 0.0
    average: float = 0.98
    clip_norm: float = 1.0
    checkpointing: bool = False
    every: int = 25
    seed: int = 0
    gradient: GradientConfig = field(default_factory=GradientConfig)

    def __post_init__(self) -> None:
        check_fields(self, self.limits, "finetuning {}".format)
