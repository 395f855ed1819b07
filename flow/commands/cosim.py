"""``slipstick cosim``: a model's own products on the Verilog of an array, bit for bit."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from slipstick.errors import UserError
from slipstick.files import check_writable
from slipstick.flow.job.console import Steps
from slipstick.flow.job.verify import attention_layers, jobs
from slipstick.flow.job.workbench import load_images
from slipstick.limits import PART
from slipstick.model.convert import approximate_, check_rules, layer_names
from slipstick.model.evaluate import input_batches
from slipstick.model.layers.config import QuantConfig
from slipstick.model.workload import record
from slipstick.model.zoo import SHIPPED, load_model
from slipstick.sim.compile import SimulationError
from slipstick.sim.cosim import cosimulate, depth_of
from slipstick.sim.drive import top_module
from slipstick.sim.verilator import find_verilator

from .machine import Machine, takes_machine
from .options import Calibration, ImageFolder, Json, Model, ModelArgs, Seed, Weights, number, print_json
from .quantisation import DEFAULT, takes_quantisation


@takes_machine("exact8s:6,truncated8s_k6:5,drum8s_k4:5")
@takes_quantisation
def run(
    machine: Machine,
    model: Model = SHIPPED,
    weights: Weights = None,
    model_args: ModelArgs = None,
    calibration: Calibration = None,
    images: ImageFolder = None,
    quantisation: QuantConfig = DEFAULT,
    layers: Annotated[
        str, typer.Option(help="Comma-separated layers; default: qkv, QK^T and AV of the first block.")
    ] = "",
    verilog: Annotated[Path | None, typer.Option(help="Simulate this file instead of the emitted text.")] = None,
    back_pressure: Annotated[float, number(PART, help="Share of cycles without offer, and without room.")] = 0.2,
    drive: Annotated[
        Literal["file", "stream"],
        typer.Option(help="Stream beats inside the simulator, or from Python."),
    ] = "file",
    workdir: Annotated[Path | None, typer.Option(help="Keep vectors, logs and waveforms here.")] = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Compare the Verilog of a mixed array with PyTorch on real layers of a model and real images.

    The layers are converted to the array's cells, column by column; every accumulator and every
    requantised output is compared, and, without back-pressure, the number of cycles. Exit code 1 when one differs.
    Without --depth or --config, accumulators are as wide as the layers need.

    Example: slipstick cosim --rows 8 --columns 8 --mix exact8s:4,drum8s_k4:4 --layers blocks.0.attn.qk
    """
    config = machine.config
    find_verilator()
    text = None if verilog is None else _read(verilog)
    if workdir is not None:
        check_writable(workdir / "bench.json")
    steps = Steps(quiet=json)
    with steps.step("model and operands"):
        loaded = load_model(model, weights, model_args)
        wanted = [name.strip() for name in layers.split(",") if name.strip()]
        check_rules(dict.fromkeys(wanted, config.array), layer_names(loaded.module, loaded.example()))
        sets = load_images(calibration, images, loaded)
        approximate_(
            loaded.module, {"default": config.array}, input_batches(loaded, sets.calibration), quantisation, seed
        )
        recordings = record(loaded.module, loaded.prepare(sets.test.pixels[:1]))
        chosen = jobs(recordings, wanted or attention_layers(recordings), config.array)
        if not machine.depth_given:
            config = replace(config, depth=depth_of(config, chosen))
    with steps.step("co-simulation"):
        try:
            result = cosimulate(
                config, chosen, seed=seed, backpressure=back_pressure, mode=drive, progress=steps.note,
                workdir=workdir, verilog=text,
            )  # fmt: skip
        except SimulationError as error:
            if verilog is None:
                raise  # of our own text: whoever mends it wants to see where
            raise UserError(f"{verilog}: {_reason(str(error))}") from error
    if json:
        print_json({
            "array": config.array.describe(), "config": config.as_json(), "compared": result.compared,
            "mismatches": result.mismatches, "cycles": result.cycles, "cycles_wanted": result.cycles_wanted,
            "cycles_per_cpu_second": result.cycles_per_cpu_second,
            "layers": [asdict(count) for count in result.jobs],
            "first_mismatches": [asdict(m) | {"text": str(m)} for m in result.first_mismatches],
        })  # fmt: skip
    else:
        typer.echo(str(result))
    if result.mismatches or not result.in_time:
        raise typer.Exit(1)


def _read(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8-sig")
        top_module(text)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return text


def _reason(words: str) -> str:
    """The first complaint of Verilator, or the first line of any other."""
    lines = words.splitlines()
    return next((line for line in lines if line.startswith("%Error")), lines[0])[:300]
