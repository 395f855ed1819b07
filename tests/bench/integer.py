"""The accuracy of docs/integer.md: integer-only inference beside int8 with float non-linear operators.

    python -m tests.bench.integer PACK

rewrites the page (``nox -s integer -- PACK``). PACK is a JPEG pack with splits train_ and test_, such as all of
CIFAR-10. Finetuning goes on where it was stopped; its states are in out/integer.
"""

import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jinja2 import Environment, StrictUndefined

from slipstick.files import write_text
from slipstick.flow.job.manifest import manifest
from slipstick.model.convert import approximate_
from slipstick.model.data import Images, read_pack
from slipstick.model.evaluate import correct, input_batches
from slipstick.model.integer.activation import PwlActivation
from slipstick.model.integer.audit import float_operations
from slipstick.model.integer.codes import Codes
from slipstick.model.integer.config import IntegerConfig
from slipstick.model.integer.norm import IntegerLayerNorm
from slipstick.model.integer.softmax import IntegerSoftmax
from slipstick.model.training.config import FinetuneConfig
from slipstick.model.training.finetune import finetune
from slipstick.model.training.images import TrainingImages, training_images
from slipstick.model.zoo import LoadedModel, load_model

PAGE = Path(__file__).parents[2] / "docs" / "integer.md"
STATES = Path("out/integer")
VARIANTS: dict[str, IntegerConfig | None] = {
    "int8, other operators in float": None,
    "integer-only, 8 entries": IntegerConfig(entries=8),
    "integer-only, 16 entries": IntegerConfig(),
}
FINETUNING = FinetuneConfig(steps=200, batch=64, rate=1e-4, every=50)
IMAGES = 16  # that operators are compared on


@dataclass(frozen=True)
class Measured:
    """Which test images a variant gets right, before and after finetuning, and the CPU seconds that it took."""

    before: np.ndarray
    after: np.ndarray
    seconds: float


def measure(images: TrainingImages, test: Images) -> dict[str, Measured]:
    """Every variant on the test images."""
    found = {}
    for number, (name, config) in enumerate(VARIANTS.items()):
        print(name, file=sys.stderr, flush=True)
        before = correct(converted(images, config), test)
        loaded = load_model()
        done = finetune(loaded, {}, images, STATES / f"variant{number}", FINETUNING, _show, manifest(), config)
        seconds = sum(record["cpu_s"] for record in done.manifest["curve"])
        found[name] = Measured(before, correct(loaded, test), seconds)
    return found


def _show(record: dict[str, float]) -> None:
    print(record, file=sys.stderr, flush=True)


def converted(images: TrainingImages, config: IntegerConfig | None) -> LoadedModel:
    """The shipped network, calibrated, every product exact."""
    loaded = load_model()
    approximate_(loaded.module, {}, input_batches(loaded, images.calibration), integer=config or False)
    return loaded


def operator_errors(loaded: LoadedModel, inputs: torch.Tensor) -> Iterator[tuple[str, float, float, float]]:
    """Kind of operator, RMS error, largest error, and RMS of rounding alone, over all blocks, in output codes.

    Every operator is compared with the float function of the very codes that it got.
    """
    errors: dict[str, list[torch.Tensor]] = defaultdict(list)
    rounding: dict[str, list[torch.Tensor]] = defaultdict(list)

    def compare(module: torch.nn.Module, arguments: tuple[Any, ...], result: Codes) -> None:
        x, out, *_ = arguments
        values = x.codes.double() * x.scale.double()
        if isinstance(module, IntegerSoftmax):
            wanted, low = (values * module.factor).softmax(-1), 0
        elif isinstance(module, IntegerLayerNorm):
            parameters = (None if part is None else part.double() for part in (module.weight, module.bias))
            wanted, low = torch.nn.functional.layer_norm(values, module.normalized_shape, *parameters, module.eps), -128
        else:
            assert isinstance(module, PwlActivation)
            wanted, low = module.function(values), -128
        exact = (wanted / out.double()).clamp(low, 127)
        name = {IntegerSoftmax: "softmax", IntegerLayerNorm: "LayerNorm"}.get(type(module), "GELU")
        errors[name].append((result.codes - exact).flatten())
        rounding[name].append((exact.round() - exact).flatten())

    kinds = IntegerSoftmax, IntegerLayerNorm, PwlActivation
    hooks = [m.register_forward_hook(compare) for m in loaded.module.modules() if isinstance(m, kinds)]
    with torch.no_grad():
        loaded.module(inputs)
    for hook in hooks:
        hook.remove()
    for name, parts in errors.items():
        every, rounded = torch.cat(parts), torch.cat(rounding[name])
        yield (
            name,
            *(float(x) for x in (every.square().mean().sqrt(), every.abs().max(), rounded.square().mean().sqrt())),
        )


def loss(found: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """Points of top-1 lost to ``reference``, and the standard error of that difference."""
    difference = 100 * (reference.astype(float) - found)
    return float(difference.mean()), float(difference.std() / len(difference) ** 0.5)


def main() -> None:
    """Measure and write the page."""
    if len(sys.argv) != 2:
        sys.exit(f"{__doc__}\ngive the JPEG pack")
    pack, started = Path(sys.argv[1]), time.perf_counter()
    images, test = training_images(pack, 32), read_pack(pack, "test_")
    images = replace(images, validation=images.validation[:200])  # for the manifests; the page is about test images
    STATES.mkdir(parents=True, exist_ok=True)
    measured = measure(images, test)
    operators = {}
    for entries in (8, 16):
        loaded = converted(images, IntegerConfig(entries=entries))
        inputs = loaded.prepare(test.pixels[:IMAGES])
        operators[entries] = list(operator_errors(loaded, inputs))
        assert float_operations(loaded.module, loaded.module.image_codes(inputs)) == []
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    template = environment.from_string((Path(__file__).parent / "integer.md.jinja").read_text())
    baseline = measured["int8, other operators in float"]
    rows = []
    for name, one in measured.items():
        after = 100 * one.after.mean(), *loss(one.after, baseline.after)
        rows.append((name, 100 * one.before.mean(), *loss(one.before, baseline.before), after, one.seconds))
    page = template.render(
        rows=rows, operators=operators, test=len(test), train=len(images.train), config=FINETUNING, images=IMAGES,
        provenance=manifest(), minutes=(time.perf_counter() - started) / 60,
    )  # fmt: skip
    write_text(PAGE, page)


if __name__ == "__main__":
    main()
