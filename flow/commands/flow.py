"""``slipstick flow``: the main job."""

from pathlib import Path

import typer

from slipstick.flow.job.config import FlowConfig
from slipstick.flow.job.console import Steps
from slipstick.flow.job.pipeline import run_flow
from slipstick.flow.report.page import write_report
from slipstick.flow.report.summary import summarise

from .options import print_json, print_table
from .settings import takes_settings


@takes_settings
def run(config: FlowConfig, folder: Path, json: bool) -> None:
    """Turn a trained ViT into a verified approximate accelerator, with a report.

    Calibrates, characterises cells, searches a cell for every layer, writes Verilog, co-simulates it
    bit for bit, and states the power. Stopped, it goes on where it was when called again.

    Example: slipstick flow --trials 100 --max-loss 0.5 --out out/careful
    """
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
    rows = [("float", "fp32", accuracy["fp32"], ""), ("exact int8", "int8", accuracy["int8"], "0.0 %")]
    exact = summary["energy_nj"]["exact"]["inference"]
    for name, value in accuracy["uniform"].items():
        energy = next(c["energy_nj"] for c in summary["cells"] if c["name"] == name)
        rows.append((f"{name} everywhere", name, value, f"{100 * (1 - energy / exact):.1f} %"))
    rows.append(("chosen mix", "chosen", accuracy["chosen"], f"{100 * saving['inference']:.1f} %"))
    losses = {name: f"{100 * one['mean']:+.2f} ± {100 * one['standard_error']:.2f}"
              for name, one in accuracy["loss"].items()}  # fmt: skip
    print_table(
        f"{summary['config']['model']}, {accuracy['test_images']} test images",
        ("arithmetic", "top-1", "points lost", "inference energy saved"),
        [(name, f"{100 * value:.1f} ± {100 * accuracy['standard_error'][key]:.1f} %", losses.get(key, ""), saved)
         for name, key, value, saved in rows],
    )  # fmt: skip
    promise = summary["promise"]
    typer.echo(
        f"promised: at most {promise['max_loss']:g} points lost; confirmed on {promise['images']} validation images: "
        f"{100 * promise['loss']:+.2f} ± {100 * promise['standard_error']:.2f}, at most {100 * promise['bound']:.2f} "
        f"at {promise['confidence']:.0%}"
    )
    if promise["images_for_the_next"] is not None:
        typer.echo(f"the next cheaper mix would need about {promise['images_for_the_next']:,} validation images")
    tiles = ", ".join(f"{t['rows']} x {t['columns']} {t['cell']}" for t in summary["accelerator"]["tiles"])
    typer.echo(f"tiles: {tiles}")
    typer.echo(
        f"energy saved: multiplier {100 * saving['multiplier']:.1f} %, with adder trees {100 * saving['mac']:.1f} %, "
        f"array {100 * saving['array']:.1f} %, whole inference {100 * saving['inference']:.1f} %"
    )
    power = summary["power"]["chosen"]
    typer.echo(
        f"an image: {power['energy_nj'] / 1000:.2f} uJ, {power['latency_us']:.0f} us ({power['cycles']:,} cycles), "
        f"{power['mw']:.1f} mW at {summary['config']['clock_mhz']:g} MHz, {power['pj_per_mac']:.2f} pJ a MAC, "
        f"{power['tops_per_watt']:.2f} TOPS/W"
    )
    typer.echo(f"co-simulation: {cosim['compared']:,} values compared, {cosim['mismatches']} differ")
    typer.echo(f"report: {page}")
