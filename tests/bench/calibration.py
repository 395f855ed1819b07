"""The table of docs/calibration.md: models, settings, and every method of choosing ranges.

    python -m tests.bench.calibration DATA [--only NAME]

rewrites the page (``nox -s calibration -- DATA``). DATA is a folder with cifar10_jpeg.npz and, for the ViT-S/14,
vit_s14. Every cell of the table is kept in out/calibration and made once; networks whose packages are absent are
left out.
"""

import copy
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from jinja2 import Environment, StrictUndefined
from torch import Tensor

from slipstick.files import write_text
from slipstick.flow.job.manifest import manifest
from slipstick.model.convert import approximate_
from slipstick.model.data import read_pack, shipped
from slipstick.model.evaluate import input_batches, logits
from slipstick.model.layers.config import QuantConfig
from slipstick.model.zoo import LoadedModel, load_model
from slipstick.store import digest
from tests.pretrained import encoder, vit_s14

PAGE = Path(__file__).parents[2] / "docs" / "calibration.md"
KEPT = Path("out/calibration")
METHODS = {
    "output": QuantConfig(),
    "largest value": QuantConfig("minmax"),
    "percentile 99.99": QuantConfig("percentile"),
    "percentile 99.9": QuantConfig("percentile", 99.9),
    "least squares": QuantConfig("mse"),
}
BITS = {
    "int8": {}, "W6A6": {"weight_bits": 6, "activation_bits": 6},
    "W4A8": {"weight_bits": 4}, "W4A8, K and V of 8 bits": {"weight_bits": 4, "stationary_bits": 8},
    "W4A6, K and V of 6 bits": {"weight_bits": 4, "activation_bits": 6, "stationary_bits": 6},
}  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """Points of top-1 lost to float with the standard error of that difference, and the divergence in nats.

    ``likeness`` is the mean cosine to float, for networks without classes.
    """

    lost: float
    error: float
    divergence: float
    top1: float
    images: int
    seconds: float
    likeness: float | None = None

    def __str__(self) -> str:
        if self.likeness is not None:
            return f"{self.likeness:.4f}"
        return f"{self.lost:+.2f} ± {self.error:.2f} ({self.divergence:.4f})"


def compared(wanted: Tensor, found: Tensor, labels: np.ndarray, seconds: float) -> Cell:
    """Logits [N, classes] beside those of the float model."""
    right = [(one.argmax(1).numpy() == labels).astype(float) for one in (wanted, found)]
    difference = 100 * (right[0] - right[1])
    before, after = wanted.log_softmax(-1), found.log_softmax(-1)
    divergence = float((before.exp() * (before - after)).sum(-1).mean())
    error = float(difference.std() / len(labels) ** 0.5)
    return Cell(float(difference.mean()), error, divergence, 100 * right[0].mean(), len(labels), seconds)


def of_images(load: Callable[[], LoadedModel], pack: Path, count: int, integer: bool) -> Callable[[QuantConfig], Cell]:
    """How a classifier fares under a configuration on the first ``count`` test images."""
    kept: list[Tensor] = []

    def measure(config: QuantConfig) -> Cell:
        test = read_pack(pack, "test_", slice(0, count))
        loaded = load()
        wanted = kept[0] if kept else logits(loaded, test)
        kept[:] = [wanted]
        started = time.process_time()
        approximate_(loaded.module, {}, input_batches(loaded, shipped("calibration")), config, integer=integer)
        seconds = time.process_time() - started
        return compared(wanted, logits(loaded, test), test.labels, seconds)

    return measure


def of_sentences(config: QuantConfig) -> Cell:
    """How near the sentence encoder's vectors stay to float's."""
    model, task = encoder.load(), encoder.Task.read()
    exact, started = task.embed(model), time.process_time()
    approximate_(model, {}, task.calibration.split(32), config)
    seconds, found = time.process_time() - started, task.embed(model)
    top1 = encoder.top1(exact)
    lost = 100 * (top1 - encoder.top1(found))
    return Cell(lost, 0.0, 0.0, 100 * top1, 2 * len(task.sentences), seconds, encoder.cosine(exact, found))


def rows(data: Path) -> Iterator[tuple[str, dict[str, int], Callable[[QuantConfig], Cell], int]]:
    """Name of a row, its bits, its measure, and on how many images or sentences."""
    pack = data / "cifar10_jpeg.npz"
    for name, bits in BITS.items():
        count = 10_000 if name == "int8" else 2000
        yield f"shipped ViT, {name}", bits, of_images(load_model, pack, count, False), count
    yield "shipped ViT, integer-only", {}, of_images(load_model, pack, 10_000, True), 10_000
    for name, integer in (("int8", False), ("integer-only", True)):
        yield f"ViT-S/14, {name}", {}, of_images(lambda: vit_s14.load(data), pack, 2000, integer), 2000
    yield "MiniLM, int8 (cosine to float)", {}, of_sentences, 144


def measure(data: Path, only: str) -> dict[str, dict[str, Cell]]:
    """Every row under every method; what was measured before is taken from its file."""
    table: dict[str, dict[str, Cell]] = {}
    KEPT.mkdir(parents=True, exist_ok=True)
    for name, bits, of, count in rows(data):
        methods = METHODS | (
            {"output, weights whole": QuantConfig(clip_weights=False)} if bits.get("weight_bits") else {}
        )
        for title, single in methods.items():
            config = replace(single, **bits)
            file = KEPT / f"{digest(name, asdict(config), count)[:16]}.json"
            if not file.exists() and only in name:
                print(name, title, file=sys.stderr, flush=True)
                try:
                    write_text(file, json.dumps(asdict(of(config))) + "\n")
                except pytest.skip.Exception as absent:
                    print(f"  left out: {absent}", file=sys.stderr, flush=True)
            if file.exists():
                table.setdefault(name, {})[title] = Cell(**json.loads(file.read_text()))
    return table


def main() -> None:
    """Measure and write the page."""
    arguments = copy.copy(sys.argv[1:])
    only = arguments.pop(arguments.index("--only") + 1) if "--only" in arguments else ""
    if len([one for one in arguments if one != "--only"]) != 1:
        sys.exit(f"{__doc__}\ngive the folder of data")
    torch.manual_seed(0)
    table = measure(Path(arguments[0]), only)
    titles = [*METHODS, "output, weights whole"]
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    template = environment.from_string((Path(__file__).parent / "calibration.md.jinja").read_text())
    write_text(PAGE, template.render(table=table, titles=titles, provenance=manifest()))


if __name__ == "__main__":
    main()
