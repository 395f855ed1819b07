"""The figures of docs/reuse.md: the paper's cost model beside its tables, our array's costs, accuracy after finetuning.

    python -m tests.bench.reuse PACK [--finished]

rewrites the page (``nox -s reuse -- PACK``). PACK is a JPEG pack with splits train_ and test_, such as all of
CIFAR-10. Finetuning goes on where it was stopped; its states are in out/reuse. With --finished nothing is
trained or run on the test images: the page has what is there already, and says so.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jinja2 import Environment, StrictUndefined

from slipstick.files import write_text, write_whole
from slipstick.flow.job.manifest import manifest
from slipstick.flow.reuse.array_cost import ArrayParts
from slipstick.flow.reuse.crossbar import crossbar_cost
from slipstick.flow.reuse.geometry import DEIT_S, SHIPPED_VIT
from slipstick.flow.reuse.select import smallest_reuse
from slipstick.flow.reuse.verify import Step
from slipstick.model.convert import approximate_
from slipstick.model.data import Images, read_pack, shipped
from slipstick.model.evaluate import correct, input_batches, top1
from slipstick.model.reuse.cka import attention_cka
from slipstick.model.reuse.config import ReuseConfig, Run, Transform
from slipstick.model.reuse.convert import reuse_
from slipstick.model.reuse.fit import fit_projections_
from slipstick.model.reuse.noise import put_on_crossbars_
from slipstick.model.training.config import FinetuneConfig
from slipstick.model.training.images import TrainingImages, training_images
from slipstick.model.training.reuse import finetune_reuse
from slipstick.model.zoo import LoadedModel, load_model
from tests.bench.reuse_cosim import LANES, verify
from tests.bench.reuse_figures import Point, draw
from tests.flow.reuse.published import ROWS, Row

PAGE = Path(__file__).parents[2] / "docs" / "reuse.md"
STATES = Path("out/reuse")
FINETUNING = FinetuneConfig(steps=800, batch=64, rate=3e-4, distillation=0.9, every=50)
NOISY_IMAGES, NOISY_BATCH = 200, 10
INTEGER_IMAGES = 1000
SIDES = (8, 16, 32, 64, 128)  # of square arrays
SIDE = 16  # that of the page's other figures


@dataclass(frozen=True)
class Trained:
    """One finetuned network: no ``blocks`` are the control."""

    family: str
    blocks: tuple[int, ...]
    seed: int = 0
    transform: Transform = "full"
    run: Run = "last"
    fit: bool = True

    @property
    def path(self) -> Path:
        """Its weights, without a suffix."""
        name = "".join(map(str, self.blocks)) or "control"
        if (self.transform, self.run, self.fit) != ("full", "last", True):
            name += f"-{self.transform}-{self.run}" + ("" if self.fit else "-unfitted")
        return STATES / f"{name}-seed{self.seed}"


FIRST = (("control", ()), ("strided", (1, 3)), ("continuous", (1, 2)))
THEN = (("single", (1,)), ("strided", (1, 3, 5)))
LAST = (
    ("strided", (3, 5)),
    ("continuous", (4, 5)),
    ("continuous", (1, 2, 3)),
    ("continuous", (1, 2, 3, 4)),
    ("continuous", (1, 2, 3, 4, 5)),
)
NETWORKS = (
    *(Trained(family, blocks) for family, blocks in (*FIRST, *THEN)),
    *(Trained(family, blocks, seed) for seed in (1, 2) for family, blocks in FIRST),
    *(Trained(family, blocks) for family, blocks in LAST),
    *(Trained(family, blocks, seed) for seed in (1, 2) for family, blocks in THEN),
)
"""In the order in which they are trained; the page has them by pattern."""
NOISY = (Trained("control", ()), Trained("strided", (1, 3)))
VERIFIED = Trained("strided", (1, 3))


def train(one: Trained, images: TrainingImages) -> LoadedModel:
    """The finetuned network; a finished or broken run is not begun anew."""
    loaded, config = load_model(), replace(FINETUNING, seed=one.seed)
    how = ReuseConfig(one.transform, one.run)
    finetune_reuse(loaded, one.blocks, images, one.path, config, how, _show, manifest(), one.fit)
    return loaded


def _show(record: dict[str, float]) -> None:
    print(record, file=sys.stderr, flush=True)


def hits(one: Trained, kind: str, measure: Callable[[Trained], np.ndarray] | None) -> np.ndarray | None:
    """Which test images are right, bool [N], kept beside the weights; None if unmeasured without a ``measure``."""
    path = one.path.with_name(f"{one.path.name}.{kind}.npy")
    if not path.exists():
        if measure is None:
            return None
        print(one.path.name, kind, file=sys.stderr, flush=True)
        found = measure(one)
        write_whole(path, lambda file: np.save(file, found))
    return np.load(path)


class Measure:
    """How one kind of test figure is made from the name of a network."""

    def __init__(self, kind: str, images: TrainingImages, test: Images) -> None:
        self.kind, self.images, self.test = kind, images, test

    def __call__(self, one: Trained) -> np.ndarray:
        """Right or wrong by test image, bool [N]; of noisy networks the first images only."""
        loaded = train(one, self.images)
        if self.kind == "noisy":
            put_on_crossbars_(loaded.module, input_batches(loaded, self.images.calibration, NOISY_BATCH)[0])
            return correct(loaded, self.test[:NOISY_IMAGES], NOISY_BATCH)
        if self.kind == "after":
            return correct(loaded, self.test)
        integer = self.kind == "integer"
        approximate_(loaded.module, {}, input_batches(loaded, self.images.calibration), integer=integer)
        return correct(loaded, self.test[:INTEGER_IMAGES] if integer else self.test)


def accuracy(measures: Mapping[str, Callable[[Trained], np.ndarray] | None]) -> Iterator[dict[str, Any]]:
    """A row a network; losses in points to the control of its seed, with their standard error on the same images."""
    for one in NETWORKS:
        after, int8 = (hits(one, kind, measures[kind]) for kind in ("after", "int8"))
        control = hits(Trained("control", (), one.seed), "after", None)
        if after is None or control is None:
            continue
        difference = 100 * (control.astype(float) - after)
        yield {
            "network": one, "after": 100 * after.mean(), "int8": None if int8 is None else 100 * int8.mean(),
            "lost": difference.mean(), "error": difference.std() / len(difference) ** 0.5,
        }  # fmt: skip


def on_crossbars(
    measures: Mapping[str, Callable[[Trained], np.ndarray] | None],
) -> Iterator[tuple[Trained, float, float]]:
    """Network, top-1 in percent without and with noise, on the first test images."""
    for one in NOISY:
        ideal, noisy = (hits(one, kind, measures[kind]) for kind in ("after", "noisy"))
        if ideal is not None and noisy is not None:
            yield one, 100 * ideal[:NOISY_IMAGES].mean(), 100 * noisy.mean()


def integer_only(measures: Mapping[str, Callable[[Trained], np.ndarray] | None]) -> dict[str, float] | None:
    """Top-1 of VERIFIED in percent, int8 and integer-only, and what the latter loses, on the first test images."""
    int8, integer = (hits(VERIFIED, kind, measures[kind]) for kind in ("int8", "integer"))
    if int8 is None or integer is None:
        return None
    difference = 100 * (int8[:INTEGER_IMAGES].astype(float) - integer)
    return {
        "int8": 100 * int8[:INTEGER_IMAGES].mean(), "integer": 100 * integer.mean(),
        "lost": difference.mean(), "error": difference.std() / len(difference) ** 0.5,
    }  # fmt: skip


def array_parts(side: int) -> ArrayParts:
    """The array of ``side`` x ``side`` exact cells at operands of the shipped network, encoders 1, 3 and 5 reusing."""
    reused = load_model()
    reuse_(reused.module, (1, 3, 5))
    batches = input_batches(reused, shipped("calibration"))
    return ArrayParts.measure(reused, batches, rows=side, columns=side, clock_mhz=100)


STARTED = ((1,), (3,), (5,), (1, 3), (3, 5), (1, 2), (4, 5), (1, 3, 5), (1, 2, 3), (3, 4, 5))
WAYS: tuple[tuple[Transform, Run], ...] = (
    ("full", "last"),
    ("linear", "last"),
    ("identity", "last"),
    ("full", "chain"),
)


def started(images: TrainingImages, finished: bool) -> dict[str, dict[str, float]]:
    """Pattern -> way -> top-1 in percent on the shipped test images after the closed-form start, with no training."""
    path = STATES / "started.json"
    found: dict[str, dict[str, float]] = json.loads(path.read_text()) if path.exists() else {}
    if finished:
        return {blocks: row for blocks, row in found.items() if len(row) == len(WAYS)}
    original, test = load_model(), shipped("test")
    start = input_batches(original, images.calibration, len(images.calibration))[0]
    for blocks in STARTED:
        row = found.setdefault(", ".join(map(str, blocks)), {})
        for transform, run in WAYS:
            if f"{transform}, {run}" not in row:
                loaded = load_model()
                reuse_(loaded.module, blocks, ReuseConfig(transform, run))
                fit_projections_(loaded.module, original.module, start)
                row[f"{transform}, {run}"] = 100 * top1(loaded, test)
                write_text(path, json.dumps(found))
    return found


def main() -> None:
    """Measure and write the page."""
    finished = sys.argv[2:] == ["--finished"]
    if len(sys.argv) != 2 and not finished:
        sys.exit(f"{__doc__}\ngive the JPEG pack")
    pack, began = Path(sys.argv[1]), time.perf_counter()
    torch.set_num_threads(1)
    images, test = training_images(pack, 32), read_pack(pack, "test_")
    images = replace(images, validation=images.validation[:200])  # for the manifests; the page is about test images
    STATES.mkdir(parents=True, exist_ok=True)
    kinds = ("after", "int8", "integer", "noisy")
    measures = {kind: None if finished else Measure(kind, images, test) for kind in kinds}
    rows, noisy = list(accuracy(measures)), list(on_crossbars(measures))
    rows.sort(key=lambda row: (len(row["network"].blocks), row["network"].blocks, row["network"].seed))
    original = load_model()
    similar = attention_cka(original.module, input_batches(original, shipped("calibration")[:64])[0]).tolist()
    arrays = {side: array_parts(side) for side in SIDES}
    parts = arrays[SIDE]
    sizes = [
        (side, one.cost(SHIPPED_VIT, 0), one.cost(SHIPPED_VIT, 2), one.cost(DEIT_S, 0).edap / one.cost(DEIT_S, 4).edap)
        for side, one in arrays.items()
    ]
    array = [
        (geometry, reuse, parts.cost(geometry, reuse), parts.cost(geometry, 0),
         parts.cost(geometry, reuse, lanes=LANES), parts.cost(geometry, 0, lanes=LANES))
        for geometry, numbers in ((SHIPPED_VIT, range(6)), (DEIT_S, (0, 3, 5, 7, 9, 11)))
        for reuse in numbers
    ]  # fmt: skip
    spatial = [
        (geometry, matrix, reuse, parts.spatial_cost(geometry, reuse, matrix=matrix),
         parts.spatial_cost(geometry, 0, matrix=matrix), parts.cost(geometry, reuse))
        for geometry, numbers in ((SHIPPED_VIT, range(6)), (DEIT_S, (0, 4)))
        for matrix in (False, True)
        for reuse in numbers
    ]  # fmt: skip
    draw(list(points(rows, parts)), similar, PAGE.with_suffix(".svg"))
    published = [
        (row, crossbar_cost(row.geometry, row.reuse), crossbar_cost(row.geometry, row.reuse, True),
         crossbar_cost(row.geometry, 0).edap, _least(row, False), _least(row, True))
        for row in ROWS
    ]  # fmt: skip
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    template = environment.from_string((Path(__file__).parent / "reuse.md.jinja").read_text())
    page = template.render(
        published=published, array=array, sizes=sizes, spatial=spatial, rows=rows, means=list(means(rows, parts)),
        missing=len(NETWORKS) - len(rows), noisy=noisy, integer=integer_only(measures), integer_images=INTEGER_IMAGES,
        started=started(images, finished), similar=similar, config=FINETUNING, test=len(test), train=len(images.train),
        noisy_images=NOISY_IMAGES, lanes=LANES, side=SIDE, steps=list(verified()), notes=parts.model.notes,
        provenance=manifest(), minutes=(time.perf_counter() - began) / 60,
    )  # fmt: skip
    write_text(PAGE, page)


def means(rows: list[dict[str, Any]], parts: ArrayParts) -> Iterator[tuple[Trained, int, float, float]]:
    """A row a pattern but the control: a network, how many seeds, what they lose on average, the gain in EDAP."""
    whole = parts.cost(SHIPPED_VIT, 0).edap
    for one in {row["network"].blocks: row["network"] for row in rows if row["network"].blocks}.values():
        lost = [row["lost"] for row in rows if row["network"].blocks == one.blocks]
        yield one, len(lost), sum(lost) / len(lost), whole / parts.cost(SHIPPED_VIT, len(one.blocks)).edap


def points(rows: list[dict[str, Any]], parts: ArrayParts) -> Iterator[Point]:
    """A point a pattern, for the figure; what its seeds reached."""
    patterns = {row["network"].blocks: row["network"].family for row in rows}
    whole = parts.cost(SHIPPED_VIT, 0).edap
    for blocks, family in patterns.items():
        found = tuple(row["after"] for row in rows if row["network"].blocks == blocks)
        yield Point(family, blocks, whole / parts.cost(SHIPPED_VIT, len(blocks)).edap, found)


def verified() -> Iterator[tuple[int, Step]]:
    """The co-simulated units of a trained network's reuse encoders; nothing while it is not trained."""
    weights = VERIFIED.path.with_name(f"{VERIFIED.path.name}.safetensors")
    return verify(load_model(weights=weights)) if weights.exists() else iter(())


def _least(row: Row, transform: bool) -> int:
    if row.target is None:
        return 0
    size = row.geometry
    return smallest_reuse(lambda r: crossbar_cost(size, r, transform).delay_ms, size.encoders, row.target)


if __name__ == "__main__":
    main()
