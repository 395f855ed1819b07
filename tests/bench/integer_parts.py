"""Where an integer-only network leaves its float one: its parts in float by turns, and by turns the only integer ones.

    python -m tests.bench.integer_parts DATA [IMAGES]

prints the table of docs/integer.md: mean Kullback-Leibler divergence of the ViT-S/14's logits from float on the first
IMAGES (300) images that the search takes, none of which calibrates. DATA is a folder with vit_s14. Operands of
products stay int8 throughout.
"""

import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor

from slipstick.model.convert import approximate_
from slipstick.model.data import shipped
from slipstick.model.divergence import kl_divergence
from slipstick.model.evaluate import input_batches, logits
from slipstick.model.integer import blocks, vit
from slipstick.model.integer.activation import PwlActivation
from slipstick.model.integer.codes import Codes
from slipstick.model.integer.norm import IntegerLayerNorm
from slipstick.model.integer.products import RESIDUAL_RANGE, Requantiser
from slipstick.model.integer.softmax import IntegerSoftmax
from tests.pretrained import vit_s14

INT8 = 127
requantise = Requantiser.__call__


def values(x: Codes) -> Tensor:
    """What codes stand for, float64."""
    return x.codes.double() * x.scale.double()


def int8(real: Tensor, out: Tensor) -> Codes:
    """The nearest codes of a product's operand."""
    return Codes(torch.round(real / out.double()).clamp(-INT8 - 1, INT8).to(torch.int8), out)


def softmax(self: IntegerSoftmax, x: Codes, out: Tensor) -> Codes:
    """Of the accumulators, in float."""
    return int8((values(x) * self.factor).softmax(-1), out)


def activation(self: PwlActivation, x: Codes, out: Tensor) -> Codes:
    """Of the accumulators, in float."""
    return int8(self.function(values(x)), out)


def rounded_activation(self: PwlActivation, x: Codes, out: Tensor) -> Codes:
    """In float, of the codes that the table takes."""
    return int8(self.function(values(self.before(x, self.input_scale))), out)


def layer_norm(self: IntegerLayerNorm, x: Codes, out: Tensor, consumer: int = 0) -> Codes:
    """Of the stream's codes, in float."""
    parameters = (None if part is None else part.double() for part in (self.weight, self.bias))
    return int8(F.layer_norm(values(x), self.normalized_shape, *parameters, self.eps), out)


def unrounded(self: Requantiser, x: Codes, out: Tensor) -> Codes:
    """To the stream and the logits without rounding, else as it is."""
    return Codes(values(x) / out.double(), out) if self.high == RESIDUAL_RANGE[1] else requantise(self, x, out)


Patch = tuple[Any, str, Callable[..., Any]]
PARTS: dict[str, list[Patch]] = {
    "softmax": [(IntegerSoftmax, "forward", softmax)],
    "activation": [(PwlActivation, "forward", activation)],
    "LayerNorm and residual stream": [
        (IntegerLayerNorm, "forward", layer_norm), (Requantiser, "__call__", unrounded),
        *((module, "add", lambda x, branch: Codes(x.codes + branch.codes, x.scale)) for module in (blocks, vit)),
        (vit, "constant", lambda parameter, scale: parameter.detach().double() / scale.double()),
    ],
}  # fmt: skip
TABLES = {"activation's table": [(PwlActivation, "forward", rounded_activation)]}


def main() -> None:
    """Measure and print."""
    if not 2 <= len(sys.argv) <= 3:
        sys.exit(f"{__doc__}\ngive the folder of data")
    loaded = vit_s14.load(Path(sys.argv[1]))
    images = shipped("search")[: int(sys.argv[2]) if len(sys.argv) == 3 else 300]
    wanted = logits(loaded, images)
    approximate_(loaded.module, {}, input_batches(loaded, shipped("calibration")), integer=True)
    every = [one for part in PARTS.values() for one in part]
    variants: dict[str, list[Patch]] = {"all integer": [], "all float": every}
    variants |= {f"{name} in float": part for name, part in (PARTS | TABLES).items()}
    variants |= {f"{name} alone integer": [one for one in every if one not in part] for name, part in PARTS.items()}
    for name, patches in variants.items():
        with ExitStack() as stack:
            for owner, attribute, function in patches:
                stack.enter_context(patch.object(owner, attribute, function))
            loaded.module.constants.clear()
            found = kl_divergence(wanted, logits(loaded, images))
        print(f"{name:50s} {found.mean():.4f} +- {found.std() / len(images) ** 0.5:.4f}", flush=True)


if __name__ == "__main__":
    main()
