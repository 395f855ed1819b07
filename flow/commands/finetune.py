"""``slipstick finetune``: train a model through the products of its cells."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import torch
import typer

from slipstick.errors import UserError
from slipstick.flow.job.console import Steps
from slipstick.flow.job.manifest import manifest
from slipstick.flow.job.recovery import CELLS, recover
from slipstick.flow.report.finetuning import write_recovery
from slipstick.model.convert import check_rules, layer_names
from slipstick.model.integer.config import IntegerConfig
from slipstick.model.layers.config import QuantConfig
from slipstick.model.layers.slopes import GradientConfig, Kind
from slipstick.model.training.config import FinetuneConfig
from slipstick.model.training.finetune import finetune
from slipstick.model.training.images import training_images
from slipstick.model.zoo import SHIPPED, load_model

from .evaluate import read_rules
from .options import (
    ENTRIES,
    Batch,
    Distillation,
    Entries,
    Every,
    Features,
    Integer,
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
from .quantisation import DEFAULT as QUANTISATION
from .quantisation import takes_quantisation

DEFAULT, GRADIENT = FinetuneConfig(), GradientConfig()
LIMITS = FinetuneConfig.limits | GradientConfig.limits


@takes_quantisation
def run(
    data: Annotated[
        Path, typer.Argument(help="JPEG pack with a split train_ (model/data.py), or folder of class folders.")
    ],
    rule: Annotated[
        list[str] | None,
        typer.Option(help="pattern=cell[,cell...]; a layer name, re:regex or default. Give it once a rule."),
    ] = None,
    model: Model = SHIPPED,
    weights: Weights = None,
    model_args: ModelArgs = None,
    out: Out = Path("out/finetuned"),
    gradient: Annotated[Kind, typer.Option(help="How gradients pass the cells.")] = GRADIENT.kind,
    half_window: Annotated[
        int, number(LIMITS["half_window"], help="Codes to either side that smooth a table's slope.")
    ] = GRADIENT.half_window,
    steps: TrainingSteps = DEFAULT.steps,
    batch: Batch = DEFAULT.batch,
    rate: Rate = DEFAULT.rate,
    weight_decay: Annotated[
        float, number(LIMITS["weight_decay"], help="Of AdamW, for matrices.")
    ] = DEFAULT.weight_decay,
    warmup: Annotated[
        float, number(LIMITS["warmup"], help="Share of the steps in which the rate rises.")
    ] = DEFAULT.warmup,
    smoothing: Annotated[float, number(LIMITS["smoothing"], help="Label smoothing.")] = DEFAULT.smoothing,
    distillation: Distillation = DEFAULT.distillation,
    features: Features = DEFAULT.features,
    temperature: Annotated[
        float, number(LIMITS["temperature"], help="That softens both models' logits.")
    ] = DEFAULT.temperature,
    average: Annotated[
        float, number(LIMITS["average"], help="Decay of the weights' moving average.")
    ] = DEFAULT.average,
    checkpointing: Annotated[bool, typer.Option(help="Compute blocks twice to save memory.")] = False,
    every: Every = DEFAULT.every,
    limit: Limit = None,
    table: Annotated[
        Path | None, typer.Option(help="Write a table of all gradients on cells that break the model; no rules then.")
    ] = None,
    cells: Annotated[str, typer.Option(help="Comma-separated cells of the table.")] = ",".join(CELLS),
    quantisation: QuantConfig = QUANTISATION,
    integer: Integer = False,
    entries: Entries = ENTRIES,
    threads: Threads = 0,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Finetune a model on its cells: approximate products forward, chosen gradients backward.

    Killed, the same call goes on after the last saved state. The result loads with --weights.

    Example: slipstick finetune cifar10_jpeg.npz --integer

    Example: slipstick finetune cifar10_jpeg.npz --rule default=truncated8s_k9 --gradient table_difference
    """
    if threads:
        torch.set_num_threads(threads)
    config = FinetuneConfig(
        steps=steps, batch=batch, rate=rate, weight_decay=weight_decay, warmup=warmup, smoothing=smoothing,
        distillation=distillation, temperature=temperature, features=features, average=average,
        checkpointing=checkpointing, every=every, seed=seed, gradient=GradientConfig(gradient, half_window),
    )  # fmt: skip
    rules = read_rules(rule or [])
    numbers = IntegerConfig(entries=entries) if integer else None
    if bool(rules or integer) == (table is not None):
        raise UserError("give cells by --rule, such as default=truncated8s_k9, or --integer, or --table FILE alone")
    if table is not None and (model, weights, model_args) != (SHIPPED, None, None):
        raise UserError("the table is about the shipped network; leave out --model and --weights")
    loaded = load_model(model, weights, model_args)
    check_rules(rules, layer_names(loaded.module, loaded.example()))
    progress = Steps(quiet=json)
    with progress.step("images"):
        images = training_images(data, loaded.size, limit, loaded.classes())
    if table is not None:
        recovery = recover([name.strip() for name in cells.split(",")], images, config, out, progress, quantisation)
        write_recovery(recovery, table)
        if json:
            print_json(asdict(recovery))
        else:
            typer.echo(f"table: {table}")
        return
    with progress.step("finetuning"):
        bar = progress.bar("steps")

        def show(record: dict[str, float]) -> None:
            bar(int(record["step"]), steps)
            progress.note(", ".join(f"{key} {value:g}" for key, value in record.items()))

        done = finetune(loaded, rules, images, out, config, show, manifest(), numbers, quantisation)
    validation = done.manifest["validation"]
    if json:
        print_json({"weights": str(done.weights), "validation": validation, "curve": done.manifest["curve"]})
        return
    rows = [(name, f"{100 * value:.2f} %") for name, value in validation.items() if name != "images"]
    print_table(f"top-1 on {validation['images']} images held out", ("model", "top-1"), rows)
    typer.echo(f"weights: {done.weights}")
