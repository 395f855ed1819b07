"""``slipstick reuse``: let encoders reuse attention, as many as a delay target asks for."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import typer

from slipstick.errors import UnknownName, UserError
from slipstick.flow.cost.cost import CLOCK_MHZ
from slipstick.flow.job.console import Steps
from slipstick.flow.job.machine import AUTO, check_tile
from slipstick.flow.reuse.crossbar import crossbar_cost
from slipstick.flow.reuse.geometry import GEOMETRIES, Geometry
from slipstick.flow.reuse.select import Judged, Report, SelectConfig, finish, judge, smallest_reuse
from slipstick.flow.reuse.shape import vit_shape
from slipstick.flow.reuse.systolic import systolic_delay_ms
from slipstick.limits import PLACE, POSITIVE, Limits, whole_numbers
from slipstick.model.reuse.config import ReuseConfig, Run, Transform
from slipstick.model.reuse.convert import check_pattern
from slipstick.model.reuse.patterns import Named, families, random_patterns
from slipstick.model.training.config import FinetuneConfig
from slipstick.model.training.images import training_images
from slipstick.model.workload import LayerShape
from slipstick.model.zoo import SHIPPED, load_model

from .machine import Tile
from .options import (
    Batch,
    ClockMhz,
    Columns,
    Distillation,
    Every,
    Features,
    Json,
    Limit,
    Model,
    ModelArgs,
    Out,
    Rate,
    Rows,
    Seed,
    Threads,
    TrainingSteps,
    Weights,
    number,
    print_json,
    print_table,
)

SELECT, TRAINING = SelectConfig(), FinetuneConfig()


def run(
    data: Annotated[
        Path | None, typer.Argument(help="JPEG pack or folder to train with; without, only the plan is printed.")
    ] = None,
    delay_target: Annotated[
        float | None, number(POSITIVE, help="Delay of an image in ms that must not be reached.")
    ] = None,
    delay_model: Annotated[
        Literal["systolic", "crossbar"], typer.Option(help="Our array, or the paper's in-memory crossbars.")
    ] = "systolic",
    geometry: Annotated[
        str | None, typer.Option(help="Plan for deit-s, lv-vit-s or vit-cifar10, in place of a model; trains nothing.")
    ] = None,
    model: Model = SHIPPED,
    weights: Weights = None,
    model_args: ModelArgs = None,
    pattern: Annotated[
        str | None, typer.Option(help="Reuse these encoders, such as 3,5, in place of a search.")
    ] = None,
    transform: Annotated[
        Transform, typer.Option(help="Of the attention reused; linear and identity are ablations.")
    ] = (SELECT.reuse.transform),
    run_of: Annotated[
        Run, typer.Option("--run", help="In a run: the last attention computed, or what the encoder before made of it.")
    ] = SELECT.reuse.run,
    count_transform: Annotated[
        bool, typer.Option(help="Count the transformation block; the paper's tables do not.")
    ] = True,
    fit: Annotated[bool, typer.Option(help="Start projections in closed form.")] = True,
    random: Annotated[
        int, number(Limits(0, 10_000), help="Judge so many random patterns in place of the families.")
    ] = 0,
    candidates: Annotated[int, number(Limits(0, 10_000), help="Judge only the first so many; 0 for all.")] = 0,
    fraction: Annotated[
        float, number(SELECT.limits["fraction"], help="Share of the images that partial training has.")
    ] = SELECT.fraction,
    partial_steps: Annotated[
        int, number(SELECT.limits["partial_steps"], help="Steps that judge a pattern.")
    ] = SELECT.partial_steps,
    steps: TrainingSteps = TRAINING.steps,
    batch: Batch = TRAINING.batch,
    rate: Rate = TRAINING.rate,
    distillation: Distillation = TRAINING.distillation,
    features: Features = TRAINING.features,
    every: Every = TRAINING.every,
    limit: Limit = None,
    rows: Rows = 16,
    columns: Columns = 16,
    tile: Tile = AUTO,
    clock_mhz: ClockMhz = CLOCK_MHZ,
    out: Out = Path("out/reuse"),
    threads: Threads = 0,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Take the attention out of as few encoders as a delay target asks for, and train what is left.

    Killed, the same call goes on after the last saved state. The result loads with --weights.

    Example: slipstick reuse cifar10_jpeg.npz --delay-target 4.5

    Example: slipstick reuse --delay-target 7 --delay-model crossbar --geometry deit-s --no-count-transform
    """
    if threads:
        torch.set_num_threads(threads)
    if (delay_target is None) == (pattern is None):
        raise UserError("give --delay-target MS, or --pattern with the encoders that reuse, such as 3,5")
    if geometry is not None and data is not None:
        raise UserError("--geometry only plans; leave out the images, or the geometry")
    check_tile(tile, rows, columns)
    config = SelectConfig(
        fraction, partial_steps, ReuseConfig(transform, run_of), fit,
        FinetuneConfig(steps=steps, batch=batch, rate=rate, distillation=distillation, features=features, every=every,
                       seed=seed),
    )  # fmt: skip
    size, outside = _geometry(geometry, model, weights, model_args)

    def delay(reuse: int) -> float:
        if delay_model == "crossbar":
            return crossbar_cost(size, reuse, count_transform).delay_ms
        return systolic_delay_ms(
            size, reuse, rows=rows, columns=columns, tile=tile, clock_mhz=clock_mhz, outside=outside,
            transform=count_transform,
        )  # fmt: skip

    patterns = _patterns(pattern, delay, size, delay_target, random, candidates, seed)
    reuse = len(patterns[0].blocks) if patterns else 0
    plan: dict[str, Any] = {
        "geometry": asdict(size), "delay_model": delay_model, "target_ms": delay_target, "reuse": reuse,
        "delay_ms": delay(reuse), "delay_without_ms": delay(0), "patterns": [asdict(one) for one in patterns],
    }  # fmt: skip
    if data is None or not patterns:
        _show_plan(plan, json)
        return
    progress = Steps(quiet=json)
    with progress.step("images"):
        loaded = load_model(model, weights, model_args)
        images = training_images(data, loaded.size, limit, loaded.classes())
    judged = [Judged(patterns[0].name, patterns[0].blocks, 0.0)]
    if len(patterns) > 1:
        with progress.step("partial training"):
            judged = judge(
                lambda: load_model(model, weights, model_args), patterns, images, out, config,
                lambda name: _into(progress.bar(name), partial_steps),
            )  # fmt: skip
        plan["judged"] = [asdict(one) for one in judged]
    with progress.step("training"):
        loaded = load_model(model, weights, model_args)
        done = finish(loaded, judged, images, out, config, _into(progress.bar(judged[0].name), steps))
    plan |= {"chosen": list(judged[0].blocks), "weights": str(done.weights), **done.manifest["validation"]}
    if json:
        print_json(plan | {"curve": done.manifest["curve"]})
        return
    _show_plan(plan, json)
    validation = done.manifest["validation"]
    rows_shown = [(name, f"{100 * value:.2f} %") for name, value in validation.items() if name != "images"]
    print_table(f"top-1 on {validation['images']} images held out", ("model", "top-1"), rows_shown)
    typer.echo(f"weights: {done.weights}")


def _into(bar: Callable[[int, int], None], total: int) -> Report:
    return lambda record: bar(int(record["step"]), total)


def _geometry(
    name: str | None, model: str, weights: str | None, model_args: str | None
) -> tuple[Geometry, list[LayerShape]]:
    if name is not None:
        if name.lower() not in GEOMETRIES:
            raise UnknownName("geometry", name, GEOMETRIES)
        return GEOMETRIES[name.lower()], []
    shape = vit_shape(load_model(model, weights, model_args))
    ratio = shape.hidden / shape.dim
    size = Geometry(model, shape.tokens, shape.dim, shape.encoders, shape.heads, ratio)
    return size, list(shape.outside.values())


def _patterns(
    given: str | None, delay: Callable[[int], float], size: Geometry, target: float | None, random: int,
    candidates: int, seed: int,
) -> list[Named]:  # fmt: skip
    """What to judge; nothing where the target is met without reuse."""
    if given is not None:
        return [Named("as given", check_pattern(whole_numbers(given, "--pattern", PLACE), size.encoders))]
    assert target is not None
    reuse = smallest_reuse(delay, size.encoders, target)
    if reuse == 0:
        return []
    if random:
        return random_patterns(size.encoders, reuse, random, seed)
    return families(size.encoders, reuse)[: candidates or None]


def _show_plan(plan: dict[str, Any], json: bool) -> None:
    if json:
        print_json(plan)
        return
    typer.echo(
        f"{plan['reuse']} of {plan['geometry']['encoders']} encoders reuse attention: {plan['delay_ms']:.4g} ms, "
        f"{plan['delay_without_ms']:.4g} ms without ({plan['delay_model']})"
    )
    losses = {tuple(one["blocks"]): f"{one['loss']:.4f}" for one in plan.get("judged", [])}
    rows = [
        (one["name"], ", ".join(map(str, one["blocks"])), losses.get(tuple(one["blocks"]), ""))
        for one in plan["patterns"]
    ]
    if rows:
        print_table("patterns", ("pattern", "encoders", "loss"), sorted(rows, key=lambda row: row[2]), width=60)
