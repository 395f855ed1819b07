"""``slipstick evaluate``: top-1 of a model on chosen cells."""

from typing import Annotated

import typer

from slipstick.errors import UserError
from slipstick.flow.job.console import Steps
from slipstick.flow.job.workbench import open_workbench
from slipstick.model.convert import assign_, check_rules, describe, layer_names, table_layers
from slipstick.model.evaluate import top1
from slipstick.model.quantise import Method, QuantConfig
from slipstick.model.zoo import SHIPPED, load_model

from .options import Calibration, Checkpoint, ImageFolder, Json, Model, Seed, print_json, print_table


def read_rules(lines: list[str]) -> dict[str, str | list[str]]:
    """``pattern=cell`` or ``pattern=cell,cell`` lines as rules; UserError for another form."""
    rules: dict[str, str | list[str]] = {}
    for line in lines:
        pattern, equals, cells = line.partition("=")
        if not equals or not pattern or not cells:
            raise UserError(f"rule {line!r} is not pattern=cell; give for example default=truncated8s_k5")
        rules[pattern] = cells.split(",") if "," in cells else cells
    return rules


def run(
    rule: Annotated[
        list[str] | None,
        typer.Option(help="pattern=cell[,cell...]; a layer name, re:regex or default. Give it once a rule."),
    ] = None,
    model: Model = SHIPPED,
    checkpoint: Checkpoint = None,
    calibration: Calibration = None,
    images: ImageFolder = None,
    method: Annotated[Method, typer.Option(help="How activation ranges are chosen.")] = "percentile",
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Measure top-1 in float, exact int8 and on cells.

    Example: slipstick evaluate --rule default=truncated8s_k5 --rule 're:.*\\.attn\\.qk=drum8s_k4'
    """
    rules = read_rules(rule or [])
    loaded = load_model(model, checkpoint)
    check_rules(rules, layer_names(loaded.module, loaded.example()))
    steps = Steps(quiet=json)
    with steps.step("model and calibration"):
        bench = open_workbench(
            model=loaded, calibration=calibration, images=images,
            quantisation=QuantConfig(method), seed=seed, progress=steps.bar,
        )  # fmt: skip
    figures = {"fp32": bench.fp32, "int8": bench.int8}
    if rules:
        with steps.step("cells"):
            assign_(bench.loaded.module, rules)
            figures["cells"] = top1(bench.loaded, bench.test, progress=steps.bar("top-1"))
    layers = {name: describe(layer.grid) for name, layer in table_layers(bench.loaded.module).items()}
    if json:
        print_json({"accuracy": figures, "test_images": len(bench.test), "layers": layers,
                    "left_exact": bench.report.left_exact})  # fmt: skip
        return
    rows = [(name, f"{100 * value:.2f} %") for name, value in figures.items()]
    print_table(f"top-1 on {len(bench.test)} images", ("arithmetic", "top-1"), rows)
