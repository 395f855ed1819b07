"""Ablations of weightless MLPs: group sum, mapping, thresholds, layers of tables, and which blocks.

    python -m tests.bench.weightless_ablations PACK

prints a table in Markdown (``nox -s weightless -- ablations PACK``). Every row replaces MLPs of the shipped ViT,
matches them, and finetunes for a few steps; it is kept in out/weightless/ablations.json, and not made again.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import torch

from slipstick.model.data import Images, read_pack
from slipstick.model.evaluate import top1
from slipstick.model.training.images import TrainingImages, training_images
from slipstick.model.training.weightless import WeightlessTraining, finetune_weightless
from slipstick.model.weightless.mlp import WeightlessConfig
from slipstick.model.weightless.replace import weightless_mlps
from slipstick.model.zoo import load_model
from slipstick.store import write_text

from .weightless import STATES, VIT

KEPT = STATES / "ablations.json"
STEPS = 100
ALL = tuple(range(6))
BASE = replace(VIT, blocks=ALL, finetune=replace(VIT.finetune, steps=STEPS, every=STEPS))


def rows() -> Iterator[tuple[str, WeightlessTraining]]:
    """What is changed, and all settings."""
    yield "all six: 1024 tables, 8 thresholds, mapping random, conditional sum", BASE
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
        yield text, replace(BASE, mlp=WeightlessConfig(**(asdict(BASE.mlp) | change)))
    for block in ALL:
        yield f"block {block} alone", replace(BASE, blocks=(block,))


def measure(training: WeightlessTraining, images: TrainingImages, test: Images, state: Path) -> dict[str, float]:
    """Share of the outputs' variance explained, mean over blocks, and top-1 before and after finetuning."""
    loaded = load_model()
    done = finetune_weightless(loaded, images, state, training)
    for mlp in weightless_mlps(loaded.module).values():
        mlp.binarise_()
    explained = list(done.manifest["explained"].values())
    return {
        "explained": sum(explained) / len(explained),
        "before": done.manifest["validation"]["before"],
        "after": top1(loaded, test),
    }


def ablate(pack: Path) -> None:
    """Measure what is not kept yet, and print the table."""
    torch.set_num_threads(1)
    images, test = training_images(pack, 32), read_pack(pack, "test_")
    STATES.mkdir(parents=True, exist_ok=True)
    kept: dict[str, dict[str, float]] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    print(f"| change | variance explained | top-1 matched | after {STEPS} steps |")
    print("| --- | ---: | ---: | ---: |")
    for number, (text, training) in enumerate(rows()):
        if text not in kept:
            kept[text] = measure(training, images, test, STATES / f"ablation_{number}")
            write_text(KEPT, json.dumps(kept, indent=1) + "\n")
        one = kept[text]
        print(
            f"| {text} | {one['explained']:.2f} | {100 * one['before']:.1f} % | {100 * one['after']:.1f} % |",
            flush=True,
        )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"{__doc__}\ngive the JPEG pack")
    ablate(Path(sys.argv[1]))
