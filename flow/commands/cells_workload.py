"""``slipstick cells workload``: the operands that a model gives its multipliers, as a file."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from slipstick.files import check_writable
from slipstick.flow.characterise.operands import TOTAL
from slipstick.flow.characterise.recorded import record_operands
from slipstick.flow.job.console import Steps
from slipstick.model.layers.config import QuantConfig

from .options import Calibration, ImageFolder, Json, Model, ModelArgs, Seed, Weights, print_json
from .quantisation import DEFAULT, takes_quantisation


@takes_quantisation
def run(
    model: Model = "vit-cifar10",
    weights: Weights = None,
    model_args: ModelArgs = None,
    calibration: Calibration = None,
    images: ImageFolder = None,
    quantisation: QuantConfig = DEFAULT,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help="The .npz file to write.")] = Path("out/operands.npz"),
    json: Json = False,
) -> None:
    """Record how often a model's operand codes occur, and sequences of them, for `cells evolve --workload`.

    Every layer counts in proportion to its multiply-accumulates.

    Example: slipstick cells workload --model vit_tiny_patch16_224 --weights w.safetensors --images my/photos
    """
    from slipstick.flow.job.workbench import load_images  # torch comes with it: `slipstick cells` has no use for it
    from slipstick.model.zoo import load_model

    check_writable(out)
    steps = Steps(quiet=json)
    with steps.step("operands"):
        loaded = load_model(model, weights, model_args)
        operands = record_operands(
            loaded, load_images(calibration, images, loaded).calibration, quantisation, seed=seed, name=loaded.name
        )
    operands.save(out)
    near = np.minimum(np.arange(256), 256 - np.arange(256)) < 16
    shares = [float(part[near].sum() / TOTAL) for part in (operands.activation_weights, operands.weight_weights)]
    count = len(operands.activations)
    if json:
        print_json({
            "file": str(out), "digest": operands.digest, "sequences": count,
            "activations_below_16": shares[0], "weights_below_16": shares[1],
        })  # fmt: skip
    else:
        words = [f"{100 * share:.0f} %" for share in shares]
        typer.echo(f"{out}: {count} sequences; |activation| < 16: {words[0]}, |weight| < 16: {words[1]}")
