"""``slipstick weightless``: put look-up tables and sums in the place of MLPs, and train them."""

from pathlib import Path
from typing import Annotated, Literal

import torch
import typer
from torch import nn

from slipstick.errors import UserError
from slipstick.flow.job.console import Steps
from slipstick.flow.job.manifest import manifest
from slipstick.limits import PLACE, Limits, whole_numbers
from slipstick.model.training.config import FinetuneConfig
from slipstick.model.training.images import training_images
from slipstick.model.training.weightless import WeightlessTraining, finetune_weightless
from slipstick.model.weightless.counts import count
from slipstick.model.weightless.export import export
from slipstick.model.weightless.lut import ARITIES
from slipstick.model.weightless.match import MatchConfig
from slipstick.model.weightless.mlp import WeightlessConfig
from slipstick.model.weightless.replace import check_blocks, remaining, weightless_mlps
from slipstick.model.zoo import SHIPPED, load_model

from .options import (
    Batch,
    Distillation,
    Every,
    Features,
    Json,
    Limit,
    Model,
    ModelArgs,
    Out,
    Rate,
    Seed,
    Threads,
    TrainingSteps,
    Weights,
    number,
    print_json,
    print_table,
)

LUTS = Limits(1, 1 << 20)  # of a layer
MLP, MATCH = WeightlessConfig(luts=(2048,)), MatchConfig(steps=240)
LIMITS = WeightlessConfig.limits | WeightlessTraining.limits
TRAINING = FinetuneConfig(steps=1000, rate=2e-4, distillation=0.9, features=1.0, every=50)
DEFAULT = WeightlessTraining((), MLP, MATCH, TRAINING, table_rate=5.0)


def run(
    data: Annotated[
        Path, typer.Argument(help="JPEG pack with a split train_ (model/data.py), or folder of class folders.")
    ],
    blocks: Annotated[str, typer.Option(help="Blocks whose MLPs go: 0,1,5, all left, or none, to train on.")] = "all",
    model: Model = SHIPPED,
    weights: Weights = None,
    model_args: ModelArgs = None,
    teacher: Annotated[
        str | None,
        typer.Option(
            help="Weights of the model to learn from, 'default' for those without --weights; else as it came."
        ),
    ] = None,
    luts: Annotated[str, typer.Option(help="Look-up tables of every layer, such as 2048 or 256,512.")] = "2048",
    arity: Annotated[int, number(Limits(ARITIES[0], ARITIES[-1]), help="Inputs of a table, 2 to 6.")] = MLP.arity,
    thresholds: Annotated[
        int, number(LIMITS["thresholds"], help="Thresholds of a feature's thermometer code.")
    ] = MLP.thresholds,
    mapping: Annotated[
        Literal["random", "learnable", "sampled"],
        typer.Option(help="Of bits to the first tables' inputs; sampled learns it at a fraction of the cost."),
    ] = "random",
    sum: Annotated[
        Literal["conditional", "group"], typer.Option(help="Learnt rows of entries, or counts of groups.")
    ] = "conditional",
    entry_width: Annotated[int, number(LIMITS["entry_width"], help="Bits of an entry of the sum.")] = MLP.entry_width,
    match_steps: Annotated[
        int, number(MatchConfig.limits["steps"], help="Steps that teach an MLP's replacement alone.")
    ] = MATCH.steps,
    recorded: Annotated[
        int, number(LIMITS["recorded"], help="Images whose activations these steps see.")
    ] = DEFAULT.recorded,
    steps: TrainingSteps = TRAINING.steps,
    batch: Batch = TRAINING.batch,
    rate: Rate = TRAINING.rate,
    table_rate: Annotated[
        float, number(LIMITS["table_rate"], help="Of tables, as a multiple of --rate.")
    ] = DEFAULT.table_rate,
    distillation: Distillation = TRAINING.distillation,
    features: Features = TRAINING.features,
    every: Every = TRAINING.every,
    limit: Limit = None,
    out: Out = Path("out/weightless"),
    threads: Threads = 0,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Replace MLPs by weightless ones, match them block by block, and train the whole model with the float one.

    Killed, the same call goes on after the last saved state. The result loads with --weights. What the hardware
    takes, whole numbers and binary tables, goes to OUT_integers.json and OUT_integers.safetensors.

    Example: slipstick weightless cifar10_jpeg.npz --blocks 2,3,4 --steps 4000

    The other blocks, later: --weights out/weightless.safetensors --teacher default --out out/all
    Longer training: the same with --blocks none
    """
    if threads:
        torch.set_num_threads(threads)
    mlp = WeightlessConfig(
        thresholds=thresholds, luts=whole_numbers(luts, "--luts", LUTS), arity=arity, mapping=mapping, sum=sum,
        entry_width=entry_width, seed=seed,
    )  # fmt: skip
    training = FinetuneConfig(
        steps=steps, batch=batch, rate=rate, distillation=distillation, features=features, every=every, seed=seed
    )
    loaded = load_model(model, weights, model_args)
    wanted = None if teacher is None else load_model(model, None if teacher == "default" else teacher, model_args)
    places = _places(loaded.module, blocks)
    config = WeightlessTraining(places, mlp, MatchConfig(match_steps, seed=seed), training, recorded, table_rate)
    counts = count(loaded.module, places, mlp, loaded.example()) if places else None
    progress = Steps(quiet=json)
    with progress.step("images"):
        images = training_images(data, loaded.size, limit, loaded.classes())
    with progress.step("matching and training"):
        bar = progress.bar("training")
        done = finetune_weightless(
            loaded, images, out, config, lambda r: bar(int(r["step"]), steps), manifest(), wanted
        )
    for one in weightless_mlps(loaded.module).values():
        one.binarise_()
    integers = out.with_name(out.name + "_integers")
    export(loaded.module, integers)
    validation = done.manifest["validation"]
    if json:
        print_json(
            {"blocks": list(places), "weights": str(done.weights), "integers": f"{integers}.json"}
            | {"explained": done.manifest["explained"], **validation, "curve": done.manifest["curve"]}
        )
        return
    rows = [(name, f"{100 * value:.2f} %") for name, value in validation.items() if name != "images"]
    print_table(f"top-1 on {validation['images']} images held out", ("model", "top-1"), rows)
    if counts:
        typer.echo(str(counts))
    typer.echo(f"weights: {done.weights}; integers: {integers}.json, {integers}.safetensors")


def _places(model: nn.Module, blocks: str) -> tuple[int, ...]:
    """The blocks that ``--blocks`` means, none of them without an MLP to replace."""
    left = remaining(model)
    if blocks == "none":
        return ()
    if blocks == "all" and not left:
        raise UserError("every MLP is weightless already; --blocks none trains on")
    places = left if blocks == "all" else whole_numbers(blocks, "--blocks", PLACE)
    check_blocks(model, places)
    return places
