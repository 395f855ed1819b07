"""``slipstick evaluate``: top-1 of a model on chosen cells, or its sensitivity layer by layer."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from slipstick.errors import UserError
from slipstick.files import check_writable, write_text
from slipstick.flow.job.config import CELLS, searched_cells
from slipstick.flow.job.console import Steps
from slipstick.flow.job.sensitivity import measure_sensitivity
from slipstick.flow.job.workbench import load_images, open_workbench
from slipstick.flow.report.heat_map import ordered_cells, render_heat_map
from slipstick.limits import COUNT, NOT_NEGATIVE, Limits
from slipstick.model.convert import ConversionReport, assign_, check_rules, describe, layer_names, table_layers
from slipstick.model.evaluate import correct
from slipstick.model.integer.config import IntegerConfig
from slipstick.model.layers.config import QuantConfig
from slipstick.model.paired import Paired, standard_error
from slipstick.model.sensitivity import TOLERANCE
from slipstick.model.zoo import SHIPPED, load_model

from .options import (
    ENTRIES,
    Calibration,
    Entries,
    ImageFolder,
    Integer,
    Json,
    Model,
    ModelArgs,
    Seed,
    TestImages,
    Weights,
    number,
    print_json,
    print_table,
)
from .quantisation import DEFAULT, takes_quantisation

IMAGES_COUNT = 256
HEAT_MAP = Path("out/sensitivity.html")
CELLS_ACROSS = 6  # columns of the terminal's table


def read_rules(lines: list[str]) -> dict[str, str | list[str]]:
    """``pattern=cell`` or ``pattern=cell,cell`` lines as rules; UserError for another form."""
    rules: dict[str, str | list[str]] = {}
    for line in lines:
        pattern, equals, cells = line.partition("=")
        if not equals or not pattern or not cells:
            raise UserError(f"rule {line!r} is not pattern=cell; give for example default=truncated8s_k5")
        rules[pattern] = cells.split(",") if "," in cells else cells
    return rules


@takes_quantisation
def run(
    rule: Annotated[
        list[str] | None,
        typer.Option(help="pattern=cell[,cell...]; a layer name, re:regex or default. Give it once a rule."),
    ] = None,
    model: Model = SHIPPED,
    weights: Weights = None,
    model_args: ModelArgs = None,
    calibration: Calibration = None,
    images: ImageFolder = None,
    quantisation: QuantConfig = DEFAULT,
    sensitivity: Annotated[
        bool, typer.Option("--sensitivity", help="Measure every layer on every cell alone, all others exact.")
    ] = False,
    cells: Annotated[str, typer.Option(help="With --sensitivity: comma-separated patterns of cells.")] = CELLS,
    images_count: Annotated[
        int, number(Limits(2, COUNT.most), help="With --sensitivity: validation images that a trial may use.")
    ] = IMAGES_COUNT,
    tolerance: Annotated[
        float,
        number(NOT_NEGATIVE, help="With --sensitivity: standard error (nats) that ends a trial; 0: use all images."),
    ] = TOLERANCE,
    test_images: TestImages = None,
    integer: Integer = False,
    entries: Entries = ENTRIES,
    out: Annotated[Path, typer.Option(help="With --sensitivity: the heat map, an HTML file.")] = HEAT_MAP,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Measure top-1 in float, exact int8 and on cells; or how each layer alone bears each cell.

    A sensitivity sweep keeps every trial in the cache: stopped, the same call goes on where it was, and
    a further cell costs only its own trials. Its JSON is explained in docs/sensitivity.md.

    Example: slipstick evaluate --rule default=truncated8s_k5 --rule 're:.*\\.attn\\.qk=drum8s_k4'

    Example: slipstick evaluate --integer --entries 8

    Example: slipstick evaluate --sensitivity --cells 'truncated8s_k?,drum8s_*' --out out/heat.html
    """
    rules = read_rules(rule or [])
    if sensitivity:
        if integer:
            raise UserError("--sensitivity measures cells between float non-linear operators; drop --integer")
        if rules:
            raise UserError("--sensitivity puts one layer at a time on a cell and leaves the others exact; drop --rule")
        chosen = searched_cells(cells)
        check_writable(out)
        document = measure_sensitivity(
            load_model(model, weights, model_args), chosen[1:], Steps(quiet=json), calibration=calibration,
            images=images, count=images_count, tolerance=tolerance, quantisation=quantisation, seed=seed,
        )  # fmt: skip
        page = render_heat_map(document)
        write_text(out, page)
        if json:
            print_json(document | {"heat_map": str(out)})
        else:
            _show_sensitivity(document, out)
        return
    loaded = load_model(model, weights, model_args)
    check_rules(rules, layer_names(loaded.module, loaded.example()))
    steps = Steps(quiet=json)
    with steps.step("model and calibration"):
        bench = open_workbench(
            loaded=loaded, images=load_images(calibration, images, loaded, test_images),
            quantisation=quantisation, seed=seed, progress=steps.bar,
            integer=IntegerConfig(entries=entries) if integer else None,
        )  # fmt: skip
    exact = "integer" if integer else "int8"
    right = {"fp32": bench.right["fp32"], exact: bench.right["int8"]}
    if rules:
        with steps.step("cells"):
            assign_(bench.loaded.module, rules)
            right["cells"] = correct(bench.loaded, bench.images.test, progress=steps.bar("top-1"))
    figures = {name: float(own.mean()) for name, own in right.items()}
    losses = {name: Paired.of(right[exact], own) for name, own in right.items() if name != exact}
    layers = {name: describe(layer.grid) for name, layer in table_layers(bench.loaded.module).items()}
    if json:
        print_json({
            "accuracy": figures, "standard_error": {name: standard_error(own) for name, own in right.items()},
            "loss": {name: {"mean": one.loss, "standard_error": one.standard_error} for name, one in losses.items()},
            "test_images": len(bench.images.test), "layers": layers, "left_exact": bench.report.left_exact,
            "quantisation": asdict(quantisation), "warnings": bench.report.warnings(),
            "clipped": [{"layer": name} | asdict(one) for name, one in bench.report.worst_ranges()],
        })  # fmt: skip
        return
    rows = [
        (name, f"{100 * value:.2f} ± {100 * standard_error(right[name]):.2f} %",
         f"{100 * losses[name].loss:+.2f} ± {100 * losses[name].standard_error:.2f}" if name in losses else "")
        for name, value in figures.items()
    ]  # fmt: skip
    headers = ("arithmetic", "top-1", f"points lost against {exact}")
    print_table(f"top-1 on {len(bench.images.test)} images", headers, rows)
    _show_clipped(bench.report)


def _show_clipped(report: ConversionReport) -> None:
    """The ranges that clip most of what calibration saw, and how many more deserve a look."""
    rows = [
        (f"{name}: {one.operand}", f"{one.range:.4g}", one.method, f"{one.beyond:.2f} x", f"{100 * one.values:.2g} %",
         f"{100 * one.energy:.2g} %")
        for name, one in report.worst_ranges()
    ]  # fmt: skip
    if rows:
        headers = ("operand", "range", "chosen by", "largest", "values beyond", "energy beyond")
        print_table("ranges that clip most", headers, rows)
    if found := report.warnings():
        typer.echo(f"{len(found)} ranges clip beyond twice their size or err more by clipping than by rounding")


def _show_sensitivity(document: dict[str, Any], page: Path) -> None:
    trials = {(trial["layer"], trial["cell"]): trial for trial in document["trials"]}
    cells = ordered_cells(document)
    for start in range(0, len(cells), CELLS_ACROSS):
        some = cells[start : start + CELLS_ACROSS]
        rows = [
            (layer, *(f"{trials[layer, name]['loss']:+.3f} ±{trials[layer, name]['loss_error']:.3f}" for name in some))
            for layer in document["layers"]
        ]
        print_table("rise of the loss (nats), one layer on one cell", ("layer", *some), rows)
    cost = document["cost"]
    typer.echo(
        f"{cost['trials']} trials cost {cost['evaluations']:.0f} evaluations of {document['images']} images "
        f"({cost['seconds']:.0f} CPU s; whole runs: {cost['whole_runs_seconds']:.0f} s)"
    )
    if document["whole_runs"]:
        typer.echo(f"whole runs were needed at: {', '.join(document['whole_runs'])}")
    if document["rank_correlation"]["divergence"] is not None:
        typer.echo(f"rank correlation of predicted and measured: {document['rank_correlation']['divergence']:.2f}")
    typer.echo(f"heat map: {page}")
