"""``slipstick train``: train the shipped network from scratch."""

from pathlib import Path
from typing import Annotated

import torch
import typer

from slipstick.flow.job.console import Steps
from slipstick.limits import Limits
from slipstick.model.training.train import TrainConfig, train, write_image_packs

from .options import Json, Seed, Threads, number, print_json


def run(
    data: Annotated[Path, typer.Argument(help="CIFAR-10 as a JPEG pack with splits train_ and test_ (model/data.py).")],
    out: Annotated[Path, typer.Option(help="Weights: OUT.safetensors, curve: OUT.json.")] = Path("out/vit_cifar10"),
    epochs: Annotated[int, number(Limits(1, 100_000), help="Passes over 49,000 images.")] = TrainConfig.epochs,
    threads: Threads = 0,
    packs: Annotated[Path | None, typer.Option(help="Also cut the shipped image packs into this folder.")] = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Train the shipped ViT on CIFAR-10; killed, the same call goes on after the last whole epoch.

    Example: slipstick train cifar10_jpeg.npz --out out/vit --epochs 28
    """
    if threads:
        torch.set_num_threads(threads)
    if packs is not None:
        write_image_packs(data, packs)
    steps = Steps(quiet=json)
    curve: list[dict[str, float]] = []
    with steps.step("training"):
        bar = steps.bar("epochs")
        bar(0, epochs)

        def show(record: dict[str, float]) -> None:
            curve.append(record)
            bar(int(record["epoch"]), epochs)
            steps.note(", ".join(f"{key} {value:g}" for key, value in record.items()))

        weights = train(data, out, TrainConfig(epochs=epochs, seed=seed), show)
    if json:
        print_json({"weights": str(weights), "curve": curve})
    else:
        typer.echo(f"weights: {weights}")
