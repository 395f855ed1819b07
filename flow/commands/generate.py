"""``slipstick generate``: an accelerator as Verilog."""

import json as json_text
from pathlib import Path
from typing import Annotated

import typer

from slipstick.errors import UserError
from slipstick.files import check_writable, write_text
from slipstick.flow.handoff.design import TIME_UNIT_PS, HandedDesign
from slipstick.flow.handoff.handoff import hand_off
from slipstick.flow.job.manifest import manifest
from slipstick.rtl.array.accelerator import Accelerator
from slipstick.rtl.verilog.emit import accelerator_verilog
from slipstick.rtl.verilog.names import check_module_name

from .machine import Machine, takes_machine
from .options import ClockMhz, Json, print_json


@takes_machine("exact8s:8,truncated8s_k6:8")
def run(
    machine: Machine,
    name: Annotated[
        str | None, typer.Option(help="Of the top module, and the start of all other modules' names.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Verilog to write; beside it OUT.json and OUT.manifest.json.")] = Path(
        "out/accelerator.v"
    ),
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
    """Write the Verilog of a mesh of dot-product tiles with AXI4-Stream ports.

    Example: slipstick generate --rows 8 --columns 8 --mix exact8s:4,drum8s_k4:4 --tile 8x4 --out array.v
    """
    if name is not None:
        check_module_name(name)
    config = machine.config
    design = HandedDesign(name or Accelerator.module_name, "aclk", clock_mhz, platform, config)
    beside = {"config": out.with_suffix(".json"), "manifest": out.with_suffix(".manifest.json")}
    if out in beside.values():
        raise UserError(f"--out {out}: the config goes there; give the Verilog another ending, such as .v")
    for file in (out, *beside.values(), *([handoff / design.verilog] if handoff else [])):
        check_writable(file)
    text = accelerator_verilog(config, name=name)
    facts = manifest(
        array=config.array.describe(), tile=[config.tile_rows, config.tile_columns],
        cells={c.name: c.digest for c in config.array.cells}, verilog=str(out), lines=text.count("\n"),
        accumulator_rows=config.accumulator_rows, depth=config.depth, config=config.as_json(),
    )  # fmt: skip
    write_text(out, text)
    write_text(beside["config"], json_text.dumps(config.as_json(), indent=1) + "\n")
    write_text(beside["manifest"], json_text.dumps(facts, indent=1) + "\n")
    files = [*beside.values(), *(hand_off(design, text, handoff) if handoff else [])]
    if json:
        print_json(facts | {"files": [str(file) for file in files]})
    else:
        typer.echo(f"{out}: {config.array.describe()}, {facts['lines']} lines")
        for file in files:
            typer.echo(str(file))
