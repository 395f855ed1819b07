"""Ablations of weightless MLPs: group sum, mapping, thresholds, layers of tables, and which blocks.

    python -m tests.bench.weightless_ablations PACK

prints a table in Markdown (``nox -s weightless_ablations -- PACK``). Every row replaces MLPs of the shipped ViT,
matches them on training images, block by block, and finetunes the whole. Judged are images held out from training,
none of the test images. Networks are kept in out/weightless/ablations, and not made again; killed, it goes on.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from slipstick.model.training.config import FinetuneConfig
from slipstick.model.training.images import TrainingImages, training_images
from slipstick.model.training.weightless import WeightlessTraining, finetune_weightless
from slipstick.model.weightless.match import MatchConfig
from slipstick.model.weightless.mlp import WeightlessConfig
from slipstick.model.zoo import load_model

KEPT = Path("out/weightless/ablations")
ALL = tuple(range(6))
MLP, STEPS = WeightlessConfig(luts=(1024,)), 60
FINETUNING = FinetuneConfig(steps=200, rate=2e-4, distillation=0.9, features=1.0, every=50)


@dataclass(frozen=True)
class Ablation:
    """What is replaced, by what, and for how many steps it is matched."""

    blocks: tuple[int, ...] = ALL
    mlp: WeightlessConfig = MLP
    steps: int = STEPS


def rows() -> Iterator[tuple[str, Ablation]]:
    """What is changed, and all settings."""
    yield "nothing: 1024 tables, 8 thresholds, mapping random, conditional sum", Ablation()
    for text, change in (
        ("group sum", {"sum": "group"}),
        ("mapping learnt", {"mapping": "sampled"}),
        ("1 threshold", {"thresholds": 1}),
        ("2 thresholds", {"thresholds": 2}),
        ("4 thresholds", {"thresholds": 4}),
        ("512 tables", {"luts": (512,)}),
        ("2048 tables", {"luts": (2048,)}),
        ("two layers, 256 + 512 tables", {"luts": (256, 512)}),
        ("two layers, 512 + 512 tables", {"luts": (512, 512)}),
    ):
        yield text, Ablation(mlp=WeightlessConfig(**(asdict(MLP) | change)))
    yield "no matching: tables random, entries solved", Ablation(steps=0)
    yield "matched four times as long", Ablation(steps=4 * STEPS)
    for blocks in (*((block,) for block in ALL), (0, 1, 5), (2, 3, 4)):
        yield f"only in {'block' if len(blocks) == 1 else 'blocks'} {', '.join(map(str, blocks))}", Ablation(blocks)


def measure(text: str, one: Ablation, images: TrainingImages) -> dict[str, Any]:
    """The manifest of a replaced and finetuned network."""
    config = WeightlessTraining(one.blocks, one.mlp, MatchConfig(one.steps), FINETUNING, table_rate=5.0)
    out = KEPT / re.sub(r"\W+", "-", text)
    return finetune_weightless(load_model(), images, out, config).manifest


def ablate(pack: Path) -> None:
    """Measure what is not kept yet, and print the table."""
    torch.set_num_threads(1)
    images = training_images(pack, 32)
    KEPT.mkdir(parents=True, exist_ok=True)
    print("| change | variance explained | matched | finetuned |\n| --- | ---: | ---: | ---: |")
    for text, one in rows():
        found = measure(text, one, images)
        shares, top1 = found["explained"].values(), found["validation"]
        share = sum(shares) / len(shares)
        print(f"| {text} | {share:.2f} | {100 * top1['before']:.1f} % | {100 * top1['after']:.1f} % |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"{__doc__}\ngive the JPEG pack")
    ablate(Path(sys.argv[1]))
