"""``slipstick generate``: an array as Verilog."""

from pathlib import Path
from typing import Annotated

import typer

from slipstick.files import check_writable, write_text
from slipstick.flow.handoff.design import TIME_UNIT_PS, HandedDesign
from slipstick.flow.handoff.handoff import hand_off
from slipstick.flow.job.manifest import manifest
from slipstick.limits import Limits
from slipstick.rtl.accelerator import Accelerator
from slipstick.rtl.emit import accelerator_verilog
from slipstick.rtl.names import check_module_name
from slipstick.rtl.spec.schedule import MAX_ACCUMULATOR_ROWS

from .options import ClockMhz, Columns, Json, Mix, Rows, array_config, number, print_json


def run(
    rows: Rows = 16,
    columns: Columns = 16,
    mix: Mix = "exact8s:8,truncated8s_k6:8",
    accumulator_rows: Annotated[
        int, number(Limits(2, MAX_ACCUMULATOR_ROWS), help="Rows of activations that accumulators hold.")
    ] = 256,
    depth: Annotated[int, number(Limits(1, 1 << 20), help="Weight tiles that accumulators can sum.")] = 64,
    name: Annotated[
        str | None, typer.Option(help="Of the top module, and the start of all other modules' names.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Verilog file to write.")] = Path("out/accelerator.v"),
    handoff: Annotated[
        Path | None,
        typer.Option(
            help="Folder for other tools: Verilog, bench, stream.md, SDC, Yosys, OpenSTA, config.mk, FuseSoC."
        ),
    ] = None,
    platform: Annotated[str, typer.Option(help=f"Of OpenROAD-flow-scripts: {', '.join(TIME_UNIT_PS)}.")] = "ihp-sg13g2",
    clock_mhz: ClockMhz = 100.0,
    json: Json = False,
) -> None:
    """Write the Verilog of a weight-stationary array with AXI4-Stream ports.

    Example: slipstick generate --rows 8 --columns 8 --mix exact8s:4,drum8s_k4:4 --out array.v
    """
    if name is not None:
        check_module_name(name)
    config = array_config(rows, columns, mix)
    top = name or Accelerator.module_name
    design = HandedDesign(top, "aclk", clock_mhz, platform, config, accumulator_rows, depth)
    for file in (out, *([handoff / design.verilog] if handoff else [])):
        check_writable(file)
    text = accelerator_verilog(config, accumulator_rows=accumulator_rows, depth=depth, name=name)
    write_text(out, text)
    facts = manifest(
        array=config.describe(), cells={c.name: c.digest for c in config.cells}, verilog=str(out),
        lines=text.count("\n"), accumulator_rows=accumulator_rows, depth=depth,
    )  # fmt: skip
    files = hand_off(design, text, handoff) if handoff else []
    if json:
        print_json(facts | {"handoff": [str(file) for file in files]})
    else:
        typer.echo(f"{out}: {config.describe()}, {facts['lines']} lines")
        for file in files:
            typer.echo(str(file))
