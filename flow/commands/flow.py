"""``slipstick flow``: the main job, and ``search``'s and ``report``'s bigger sister."""

from pathlib import Path
from typing import Annotated

import typer

from slipstick.flow.cost.cost import CLOCK_MHZ
from slipstick.flow.job.console import Steps
from slipstick.flow.job.pipeline import CELLS, FlowConfig, run_flow
from slipstick.flow.report.page import write_report
from slipstick.flow.report.summary import summarise
from slipstick.model.zoo import SHIPPED

from .options import (
    Calibration,
    Checkpoint,
    Columns,
    ImageFolder,
    Json,
    Library,
    Model,
    Rows,
    Seed,
    print_json,
    print_table,
)  # fmt: skip

Trials = Annotated[int, typer.Option(help="Assignments to evaluate.")]
Sampler = Annotated[str, typer.Option(help="mcts, random, nsga2 or tpe.")]
Cells = Annotated[str, typer.Option(help="Comma-separated patterns of cells to characterise.")]
Palette = Annotated[int, typer.Option(help="Cells that the search may use, the exact one included.")]
SearchImages = Annotated[int, typer.Option(help="Validation images a trial is judged on.")]
MaxLoss = Annotated[float, typer.Option(help="Points of top-1 that may be lost against exact int8.")]
ClockMhz = Annotated[float, typer.Option(help="Clock of every power figure.")]
Out = Annotated[Path | None, typer.Option(help="Folder of the run; default: out/<model>-<settings>.")]


def run(
    model: Model = SHIPPED,
    checkpoint: Checkpoint = None,
    calibration: Calibration = None,
    images: ImageFolder = None,
    cells: Cells = CELLS,
    rows: Rows = 16,
    columns: Columns = 16,
    clock_mhz: ClockMhz = CLOCK_MHZ,
    liberty: Library = None,
    sampler: Sampler = "mcts",
    trials: Trials = 60,
    palette: Palette = 5,
    search_images: SearchImages = 400,
    max_loss: MaxLoss = 1.0,
    seed: Seed = 0,
    out: Out = None,
    json: Json = False,
) -> None:
    """Turn a trained ViT into a verified approximate accelerator, with a report.

    Calibrates, characterises cells, searches a cell for every layer, writes Verilog, co-simulates it
    bit for bit, and states the power. Stopped, it goes on where it was when called again.

    Example: slipstick flow --trials 100 --max-loss 0.5 --out out/careful
    """
    config = FlowConfig(
        model=model, checkpoint=_text(checkpoint), calibration=_text(calibration), images=_text(images), cells=cells,
        rows=rows, columns=columns, clock_mhz=clock_mhz, liberty=_text(liberty), sampler=sampler, trials=trials,
        palette=palette, search_images=search_images, max_loss=max_loss, seed=seed,
    )  # fmt: skip
    folder = out or Path("out") / config.name
    summary = summarise(run_flow(config, folder, Steps(quiet=json)))
    page = write_report(summary, folder)
    if json:
        print_json(summary | {"report": str(page)})
    else:
        _show(summary, page)
    if summary["cosim"]["mismatches"]:
        raise typer.Exit(1)


def _show(summary: dict, page: Path) -> None:
    accuracy, saving, cosim = summary["accuracy"], summary["energy_saving"], summary["cosim"]
    rows = [("float", accuracy["fp32"], ""), ("exact int8", accuracy["int8"], "0.0 %")]
    exact = summary["energy_nj"]["exact"]["array"]
    for name, value in accuracy["uniform"].items():
        energy = next(c["energy_nj"] for c in summary["cells"] if c["name"] == name)
        rows.append((f"{name} everywhere", value, f"{100 * (1 - energy / exact):.1f} %"))
    rows.append(("chosen mix", accuracy["chosen"], f"{100 * saving['array']:.1f} %"))
    print_table(
        f"{summary['config']['model']}, {accuracy['test_images']} test images",
        ("arithmetic", "top-1", "array energy saved"),
        [(name, f"{100 * value:.1f} %", saved) for name, value, saved in rows],
    )
    tiles = ", ".join(f"{t['rows']} x {t['columns']} {t['cell']}" for t in summary["accelerator"]["tiles"])
    typer.echo(f"tiles: {tiles}")
    typer.echo(
        f"energy saved: multiplier {100 * saving['multiplier']:.1f} %, processing element {100 * saving['pe']:.1f} %, "
        f"array {100 * saving['array']:.1f} %"
    )
    typer.echo(f"co-simulation: {cosim['compared']:,} values compared, {cosim['mismatches']} differ")
    typer.echo(f"report: {page}")


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
