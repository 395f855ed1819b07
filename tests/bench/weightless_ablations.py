"""Ablations of weightless MLPs: group sum, mapping, thresholds, layers of tables, and which blocks.

    python -m tests.bench.weightless_ablations PACK

prints a table in Markdown (``nox -s weightless_ablations -- PACK``). Every row replaces MLPs of the shipped ViT and
matches them on training images, block by block; nothing is finetuned. Rows are kept in
out/weightless/ablations.json, and not made again.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from slipstick.model.data import Images, shipped
from slipstick.model.evaluate import input_batches, top1
from slipstick.model.training.images import TrainingImages, training_images
from slipstick.model.weightless.match import MatchConfig
from slipstick.model.weightless.mlp import WeightlessConfig
from slipstick.model.weightless.replace import weightless_
from slipstick.model.zoo import load_model
from slipstick.store import write_text

KEPT = Path("out/weightless/ablations.json")
ALL = tuple(range(6))
MLP, STEPS, RECORDED = WeightlessConfig(luts=(1024,)), 60, 768


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
        ("two layers, 256 + 512 tables", {"luts": (256, 512)}),
        ("two layers, 512 + 512 tables", {"luts": (512, 512)}),
    ):
        yield text, Ablation(mlp=WeightlessConfig(**(asdict(MLP) | change)))
    yield "no matching: tables random, entries solved", Ablation(steps=0)
    yield "matched four times as long", Ablation(steps=4 * STEPS)
    for block in ALL:
        yield f"block {block} alone", Ablation(blocks=(block,))


def measure(one: Ablation, images: TrainingImages, test: Images) -> dict[str, float]:
    """Share of the outputs' variance explained, mean over blocks, and top-1 on ``test``."""
    loaded, shares = load_model(), list[float]()
    weightless_(
        loaded.module, one.blocks, one.mlp, input_batches(loaded, images.train[:RECORDED]),
        MatchConfig(one.steps), lambda block, share: shares.append(share),
    )  # fmt: skip
    return {"explained": sum(shares) / len(shares), "top1": top1(loaded, test)}


def ablate(pack: Path) -> None:
    """Measure what is not kept yet, and print the table."""
    torch.set_num_threads(1)
    images, test = training_images(pack, 32), shipped("test")
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    kept: dict[str, dict[str, float]] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    print(f"| change | variance explained | top-1 on {len(test)} test images |\n| --- | ---: | ---: |")
    for text, one in rows():
        if text not in kept:
            kept[text] = measure(one, images, test)
            write_text(KEPT, json.dumps(kept, indent=1) + "\n")
        print(f"| {text} | {kept[text]['explained']:.2f} | {100 * kept[text]['top1']:.1f} % |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"{__doc__}\ngive the JPEG pack")
    ablate(Path(sys.argv[1]))
